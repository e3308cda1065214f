"""Put a model on the Hugging Face hub, with its card and sounds."""

import importlib.metadata
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from wavewright.errors import AudioError, ConfigError, WavewrightError, need
from wavewright.files import sha256, write_json
from wavewright.formats import model_file
from wavewright.formats.hub import MODEL, first_line
from wavewright.measuring.catalogue import describe
from wavewright.playing.opening import shipped
from wavewright.sharing.card import SOUNDS_FOLDER, Statement, card

SOUNDS = (".flac", ".mp3", ".ogg", ".wav")  # that a browser plays


def push_to_hub(
    path: Path, repository: str, statement: Statement, sounds: Sequence[Path] = (), *, public: bool = False
) -> str:
    """Put a model file into a repository of the hub, and return the address of its page.

    The repository is made if it is not there. What it holds of an earlier version stays in its history. The account is
    the one of `hf auth login`, or of the token in HF_TOKEN.

    Args:
        path: model file that `wavewright export` made.
        repository: USER/NAME.
        statement: what only the maker knows.
        sounds: recordings of the model, which the page plays.
        public: whether a new repository is for everyone.

    Raises:
        ModelFileError: `path` is no model file, or is damaged.
        ConfigError: a sound is no file that a browser plays.
        WavewrightError: huggingface_hub is not installed, nobody has logged in, or the hub refuses or is out of reach.
    """
    need("hub", "huggingface_hub")
    from huggingface_hub import HfApi, errors, get_token

    if get_token() is None:
        raise WavewrightError(
            "hub: nobody has logged in on this computer; log in with `hf auth login`, or set HF_TOKEN"
        )
    path = shipped(path)
    model, described = model_file.load(path), describe(path)
    for sound in sounds:
        if sound.suffix.lower() not in SOUNDS:
            raise ConfigError(f"--sounds {sound}: a page plays {', '.join(SOUNDS)}; give one of these")
        if not sound.is_file():
            raise AudioError(sound, "no such file; give a sound that the model made")
    with tempfile.TemporaryDirectory(prefix="wavewright-") as name:
        folder = Path(name)
        shutil.copyfile(path, folder / MODEL)
        copies = [folder / SOUNDS_FOLDER / f"{i}{sound.suffix.lower()}" for i, sound in enumerate(sounds, 1)]
        for sound, copy in zip(sounds, copies, strict=True):
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(sound, copy)
        text = card(model, described, statement, repository=repository, sounds=copies, digest=sha256(path))
        (folder / "README.md").write_text(text, encoding="utf-8")
        write_json(folder / "config.json", {"model_type": model.config.name, "sample_rate": model.rate})
        version = importlib.metadata.version("wavewright")
        api = HfApi(library_name="wavewright", library_version=version)
        try:
            made = api.create_repo(repository, private=not public, exist_ok=True)
            api.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message=f"wavewright {version}")
        except errors.HFValidationError:
            raise ConfigError(f"{repository}: not the name of a repository; give USER/NAME") from None
        except (errors.HfHubHTTPError, OSError) as error:
            remedy = "log in with `hf auth login`, and check the name"
            raise WavewrightError(f"{repository}: not shared ({first_line(error)}); {remedy}") from None
    return str(made)
