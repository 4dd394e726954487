"""Text of many languages goes in and out, by every way that programs use, without naming an encoding."""

import json
import locale
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings

from common import emit

TEXTS = {
    "Arabic": "مرحبا بالعالم",
    "Chinese": "你好世界",
    "emoji": "🚀🎓",
    "Japanese": "こんにちは世界",
    "Korean": "안녕하세요 세계",
}


def _child(code, *args, given=b""):
    """Standard output of another Python, which is started as a user's is."""
    pipe, argv = subprocess.PIPE, [sys.executable, "-c", code, *args]
    # Not isolated, as PYTHON* variables count; so what lies in the current folder must not be imported.
    here = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run(argv, input=given, stdout=pipe, stderr=pipe, cwd=here, check=False)
    if done.returncode:
        raise ValueError(done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2])
    return done.stdout


def through_print(texts, _):
    """What a program prints."""
    return _child("print(*%s, sep='\\n')" % ascii(texts)).decode("utf-8").splitlines()


def through_input(texts, _):
    """What a program reads from its standard input."""
    code = "import json, sys; print(json.dumps(sys.stdin.read().splitlines()))"
    return json.loads(_child(code, given="\n".join(texts).encode("utf-8")).decode("ascii"))


def through_arguments(texts, _):
    """What a program is given on its command line."""
    return json.loads(_child("import json, sys; print(json.dumps(sys.argv[1:]))", *texts).decode("ascii"))


def through_files(texts, folder):
    """What a program writes into a file, under a name in that language."""
    read = []
    for text in texts:
        with open(os.path.join(folder, text), "w") as stream:
            stream.write(text)
        with open(os.path.join(os.fsencode(folder), text.encode("utf-8")), "rb") as stream:
            read.append(stream.read().decode("utf-8"))
    return read


def through_json(texts, folder):
    """What a program keeps as JSON."""
    path = os.path.join(folder, "texts.json")
    with open(path, "w") as stream:
        json.dump(texts, stream, ensure_ascii=False)
    with open(path) as stream:
        return json.load(stream)


def through_h5(texts, folder):
    """What a program keeps as names and attributes of an h5 file."""
    import h5py

    path = os.path.join(folder, "texts.h5")
    with h5py.File(path, "w") as file:
        for text in texts:
            file.create_group(text).attrs[text] = text
    with h5py.File(path, "r") as file:
        return [file[text].attrs[text] for text in texts]


def through_tables(texts, folder):
    """What a program keeps as a table."""
    import pandas as pd

    path = os.path.join(folder, "texts.csv")
    pd.DataFrame({"text": texts}).to_csv(path, index=False)
    return pd.read_csv(path)["text"].tolist()


def through_plots(texts, folder):
    """What a program draws into a picture; what the font does not have is a box there."""
    os.environ["MPLCONFIGDIR"] = folder  # nothing is left in the caller's home folder
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = []
    for text in texts:
        figure = Figure(figsize=(2, 1))
        figure.suptitle(text)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            FigureCanvasAgg(figure).print_png(os.path.join(folder, "plot.png"))
        missing = re.findall(r"Glyph (\d+) missing", " ".join(str(one.message) for one in said))
        drawn.append(text.translate({int(number): "\u25a1" for number in missing}))
    return drawn


WAYS = {
    "print": through_print,
    "standard input": through_input,
    "arguments": through_arguments,
    "files": through_files,
    "JSON": through_json,
    "h5": through_h5,
    "tables": through_tables,
    "plots": through_plots,
}


def attempt(way, texts, folder):
    """What came out by one way, in the order of ``texts``, or the error that it raised."""
    try:
        return {"texts": way(texts, folder), "error": None}
    except Exception as error:  # noqa: BLE001  any library may raise anything, and the report carries it
        return {"texts": [], "error": "%s: %s" % (type(error).__name__, error)}


def run():
    """What came out by each way, and the language of this session."""
    names, texts = zip(*sorted(TEXTS.items()))
    folder = tempfile.mkdtemp()
    came = {name: attempt(way, list(texts), folder) for name, way in WAYS.items()}
    shutil.rmtree(folder)
    return {
        "languages": names,
        "sent": texts,
        "came": came,
        "encoding": locale.getpreferredencoding(False),
        "language": os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG"),
    }


if __name__ == "__main__":
    emit(run())
