"""The command `wavewright play`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from wavewright.commands.console import progress, say
from wavewright.commands.options import DEFAULT, Flag, Playing
from wavewright.errors import ConfigError

if TYPE_CHECKING:
    from wavewright.playing.instrument import Instrument


def play(
    model: Path,
    *,
    seconds: float | None = None,
    midi: str | None = None,
    virtual: Flag = False,
    keys: Flag = False,
    out: Path | None = None,
    impulse: Path | None = None,
    wet: float | None = None,
    knobs: Annotated[tuple[str, ...], Parameter(name="--map", negative="", show_default=False)] = (),
    playing: Playing = DEFAULT,
    checkpoint: str = "best",
) -> None:
    """Play a trained model through the sound card until Ctrl-C.

    A model with a keyboard can be played by hand, with --midi, --virtual or --keys. The guard does not watch it then.
    With --out, what is heard is written to a file too. No sound card is needed then.

    Parameters
    ----------
    model
        Run folder that `train` made, or model file that `export` made. `piano` is the model in the package.
    seconds
        Length in seconds. The default is the score's length, or without end where there is no score.
    midi
        MIDI keyboard that plays, by a part of its name. `any` takes the first. A wrong name lists all ports.
    virtual
        Open a MIDI port called wavewright, to which other programs connect. macOS and Linux have such ports.
    keys
        Play by the computer's keys. The rows `zsxdcvgbhnjm` and `q2w3er5t6y7u` are two octaves from C on. A note ends
        with the next note or with the space bar.
    out
        WAV or FLAC file to write, by its suffix. It holds what is heard until the end or until Ctrl-C. Without a sound
        card, the file is written in real time.
    impulse
        Recording of an impulse response, such as a hall's, in which the sound reverberates. Its channels are mixed to
        one. The tail is heard after the end.
    wet
        Share of the reverberation, 0 to 1. The default is 0.3.
    knobs
        MIDI controller that turns a control, such as `cc1=loudness:-60..0`, `cc2=voice:bright..dark` or
        `cc3=temperature:0.8..1.2`. Repeat for more controllers.
    playing
        The options that `generate` and `play` share.
    checkpoint
        Checkpoint of a run folder: `best`, `last` or a step number.
    """
    from wavewright.conditioning.controls import described
    from wavewright.playing.impulse import read_impulse
    from wavewright.playing.live import play_aloud
    from wavewright.playing.opening import open_model
    from wavewright.playing.reverb import WET, Reverb

    ways = [name for name, chosen in (("--midi", midi), ("--virtual", virtual), ("--keys", keys)) if chosen]
    if len(ways) > 1:
        raise ConfigError(f"{' '.join(ways)}: give one of them")
    if knobs and not (midi or virtual):
        raise ConfigError(f"--map {knobs[0]}: of no MIDI controller; give --midi or --virtual too")
    if wet is not None and not impulse:
        raise ConfigError(f"--wet {wet:g}: of no impulse response; name one with --impulse")
    opened = open_model(model, checkpoint)
    if ways and opened.config.condition is None:
        raise ConfigError(f"{ways[0]}: {described(None)}; leave it out")
    share = WET if wet is None else wet
    reverb = Reverb(read_impulse(impulse, opened.rate, mixed=True), share, channels=1) if impulse else None
    if ways:
        _play_by_hand(
            playing.instrument(opened),
            None if virtual else midi,
            keys,
            knobs,
            seconds=math.inf if seconds is None else seconds,
            out=out,
            facts=playing.origin(opened),
            reverb=reverb,
        )
    else:
        played = playing.playable(opened)
        play_aloud(played, out=out, reverb=reverb, progress=progress, **playing.options(played, seconds, math.inf))


def _play_by_hand(
    instrument: "Instrument", port: str | None, keys: bool, knobs: tuple[str, ...], **options: Any
) -> None:
    from wavewright.conditioning.controls import described
    from wavewright.playing.hands import computer_keys, knob, midi_port
    from wavewright.playing.live import play_by_hand

    turned = [knob(text, instrument) for text in knobs]
    with computer_keys(instrument) if keys else midi_port(instrument, port, turned) as name:
        say(f"{described(instrument.condition)}; it is played by {name}, until Ctrl-C")
        play_by_hand(instrument, **options)
