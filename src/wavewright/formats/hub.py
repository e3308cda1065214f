"""Download a model file from the Hugging Face hub, as `hub:USER/NAME` or `hub:USER/NAME@REVISION`."""

from pathlib import Path

from wavewright.errors import ModelFileError, need

PREFIX = "hub:"
MODEL = "model.safetensors"  # the name that every model of ours has there


def is_hub_name(path: Path) -> bool:
    """Return whether a path is the name of a model on the hub."""
    return str(path).startswith(PREFIX)


def download(name: str) -> Path:
    """Return the model file of a hub name, downloaded if it is not there yet.

    The file is to be read as any stranger's: only `model_file.load` may open it. A name without a revision means the
    newest, or without a connection the one that was downloaded last.

    Raises:
        ModelFileError: there is no such model, or it cannot be reached.
        WavewrightError: huggingface_hub is not installed.
    """
    need("hub", "huggingface_hub")
    from huggingface_hub import errors, hf_hub_download

    shown, (repository, _, revision) = Path(name), name.removeprefix(PREFIX).partition("@")
    try:
        return Path(hf_hub_download(repository, MODEL, revision=revision or None))
    except errors.HFValidationError:
        raise ModelFileError(shown, "not the name of a model on the hub", "give hub:USER/NAME") from None
    except errors.RepositoryNotFoundError:
        reason, remedy = "no such model on the hub", "check the name, and log in with `hf auth login` if it is private"
        raise ModelFileError(shown, reason, remedy) from None
    except errors.RevisionNotFoundError:
        raise ModelFileError(shown, f"has no revision {revision}", "leave it out, or give another") from None
    except errors.LocalEntryNotFoundError:
        raise ModelFileError(shown, "not downloaded, and the hub cannot be reached", "connect to it first") from None
    except errors.EntryNotFoundError:
        raise ModelFileError(shown, f"holds no {MODEL}", "it was not shared by wavewright") from None
    except (errors.HfHubHTTPError, OSError) as error:
        raise ModelFileError(shown, f"not downloaded ({first_line(error)})", "try again") from None


def first_line(error: Exception) -> str:
    """Return what the hub or the system says, in one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
