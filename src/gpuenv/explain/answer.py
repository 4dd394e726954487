"""Writes the answer of `make explain` in English or Korean, for one system, with the values of the log."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gpuenv.explain import quoting
from gpuenv.explain.catalog import LANGUAGES, Remedy
from gpuenv.explain.lines import Line
from gpuenv.explain.match import Match, Ordered
from gpuenv.variants import model as variants

WORDS = {
    "en": {
        "cause": "cause",
        "evidence": "because of",
        "line": "line {number}: {text}",
        "remedy": "what to do ({system})",
        "others": "independent of that, this log also shows",
        "later": "what came later, and may be gone when the cause is",
        "consequences": "what follows from it, and goes away with it",
        "references": "see also",
        "run": "Run",
        "wsl2": "(In WSL2) ",
        "anaconda": "The same with Anaconda, without WSL2; then `conda activate {name}`.",
        "unknown": "this failure is not in the catalogue, and gpuenv does not guess",
        "suspects": "the lines that look most like the error",
        "no_suspects": "no line looks like an error: is this the whole log?",
        "unread": "the log was not looked at from line {number} on, because that takes too long: hand in a part of it",
        "add": "if you know the cause, add it: docs/catalogue.md says how",
    },
    "ko": {
        "cause": "원인",
        "evidence": "근거",
        "line": "{number}번째 줄: {text}",
        "remedy": "해결 방법 ({system})",
        "others": "이와 별개로 이 로그에 나타난 문제",
        "later": "그 뒤에 나타난 것으로, 원인을 해결하면 함께 사라질 수 있는 것",
        "consequences": "위 원인의 결과이며 함께 사라지는 것",
        "references": "참고",
        "run": "실행",
        "wsl2": "(WSL2에서) ",
        "anaconda": "WSL2 없이 Anaconda에서는 이렇게 하고, 그다음 `conda activate {name}` 명령을 실행하세요.",
        "unknown": "이 오류는 카탈로그에 없으며, gpuenv는 추측하지 않습니다",
        "suspects": "오류로 보이는 줄",
        "no_suspects": "오류로 보이는 줄이 없습니다. 로그 전체가 맞나요?",
        "unread": "{number}번째 줄부터는 시간이 너무 오래 걸려 살펴보지 않았습니다. 로그의 일부만 넣어 주세요",
        "add": "원인을 알고 있다면 추가해 주세요. 방법은 docs/catalogue.md에 있습니다",
    },
}

#: Environments without a container: their locks hold no package for a Mac.
_FOR_LINUX = ("make conda-env", "make venv-env")
#: The stages whose failures a new environment mends.
_MADE_ANEW = ("libraries", "architecture", "packages", "training")
# What is looked for first, being quick, then what decides.
_SIGNS = (
    ("windows", b"WinError", re.compile(rb"\[WinError \d")),
    ("windows", b".dll", re.compile(rb"\b(?:cu(?:dart|dnn|blas|fft|rand|solver|sparse|pti)64_\d+|nvcuda)\.dll")),
    ("windows", b":\\", re.compile(rb"(?<![A-Za-z])[A-Z]:\\{1,2}[\w~]")),
    (
        "conda",
        b"conda",
        re.compile(rb"[/\\](?:[Aa]na|[Mm]ini)conda[23]?[/\\]|\bconda (?:install|create|env|activate)\b"),
    ),
    ("conda", b"Conda", re.compile(rb"\bConda\w*Error\b")),
    ("image", b"OCI runtime", re.compile(rb"OCI runtime")),
    ("image", b"docker", re.compile(rb"\bdocker(?:d|-compose)?: |\bdocker (?:run|build|pull|compose)\b")),
    ("image", b"nvidia-container-cli", re.compile(rb"nvidia-container-cli")),
    ("venv", b"venv", re.compile(rb"[/\\]\.?venv\w*[/\\]|python3? -m venv|\bvirtualenv\b")),
)


class Signs:
    """Finds where a log comes from, as far as it shows that: the system, and the kind of environment."""

    def __init__(self) -> None:
        self._found: set[str] = set()

    def feed(self, piece: bytes) -> None:
        """Look at some whole lines."""
        for name, quick, sure in _SIGNS:
            if name not in self._found and quick in piece and sure.search(piece):
                self._found.add(name)

    @property
    def system(self) -> str | None:
        """``windows``, if the log is certainly from there."""
        return "windows" if "windows" in self._found else None

    @property
    def target(self) -> str | None:
        """The kind of environment, if the log shows signs of one kind and no other."""
        kinds = self._found - {"windows"}
        return kinds.pop() if len(kinds) == 1 else None


@dataclass(frozen=True)
class Context:
    """For whom the answer is: the language, the system, and the kind of environment if the log shows it."""

    language: str
    system: str
    target: str | None

    def word(self, key: str) -> str:
        """A fixed word or sentence."""
        return WORDS[self.language][key]


@dataclass(frozen=True)
class Step:
    """One thing to do: what it is, and the command, if there is one."""

    text: str
    command: str | None

    def on_one_line(self, context: Context) -> str:
        """Both, for programs and short reports."""
        return f"{self.text} {context.word('run')}: {self.command}" if self.command else self.text


def choose_language(environment: Mapping[str, str] | None = None) -> str:
    """``GPUENV_LANG``, else the locale's language as far as there are texts in it, else English."""
    environment = os.environ if environment is None else environment
    names = ("GPUENV_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    value = next((environment[name] for name in names if environment.get(name)), "")
    return next((language for language in LANGUAGES if value.lower().startswith(language)), LANGUAGES[0])


def cause(match: Match, context: Context) -> str:
    """The cause, with the values of this log."""
    return match.entry.cause.text(context.language).format_map(match.values)


def steps(match: Match, context: Context) -> list[Step]:
    """What to do on this system; what is for the kind of environment that the log shows comes first."""
    remedies = [
        one
        for one in match.entry.remedies
        if (not one.systems or context.system in one.systems)
        and not (context.system == "macos" and (one.command or "").startswith(_FOR_LINUX))
    ]
    if not remedies:
        # Somebody on a system that no remedy names is told what helps elsewhere.
        return [
            _fill(one, match, context, f"({', '.join(one.systems or ('linux', 'windows'))}) ")
            for one in match.entry.remedies
        ]
    if context.target:
        remedies.sort(key=lambda one: bool(one.targets) and context.target not in one.targets)
    found = [_fill(one, match, context) for one in remedies]
    return _with_anaconda(found, context) if context.system == "windows" and match.entry.stage in _MADE_ANEW else found


def _fill(remedy: Remedy, match: Match, context: Context, label: str = "") -> Step:
    command = quoting.fill(remedy.command, match.values, context.system) if remedy.command else None
    if command and context.system == "windows" and not remedy.systems:
        command = for_windows(command)
        label = context.word("wsl2") if command.startswith("make ") else ""
    return Step(label + remedy.text(context.language).format_map(match.values), command)


def _with_anaconda(found: list[Step], context: Context) -> list[Step]:
    """The same, with Anaconda's environment behind the first of `make`, which Windows lacks."""
    commands = [step.command or "" for step in found]
    if any("conda env create" in command for command in commands):
        return found
    for place, command in enumerate(commands, 1):
        if made := conda_for_windows(command):
            name, created = made
            return [*found[:place], Step(context.word("anaconda").format(name=name), created), *found[place:]]
    return found


def for_windows(command: str) -> str:
    """The same command where there is no POSIX shell and conda alone; what has no equal stays as it is."""
    if re.fullmatch(r"make conda-env( VARIANT=\S+)?", command):
        return _conda(command)[1]
    words = command.split(" ")
    if words[0] == "unset":
        return " & ".join(f"set {name}=" for name in words[1:])
    return re.sub(r"^export (?=\w+=\S+$)", "set ", command)


def conda_for_windows(command: str) -> tuple[str, str] | None:
    """The environment that conda makes in place of a plain `make gpu-shell`, and how; None for any other command."""
    plain = re.fullmatch(r"make gpu-shell(?: (?:VARIANT|FLAVOR)=\S+| GPUS=(?:none|all))*", command)
    return _conda(command) if plain else None


def _conda(command: str) -> tuple[str, str]:
    settings = dict(re.findall(r" ([A-Z]+)=(\S+)", command))
    variant = settings.get("VARIANT") or variants.find_variant(None).name
    suffix = "-cpu" if settings.get("FLAVOR") == "cpu" else ""
    return f"gpuenv-{variant}{suffix}", f"conda env create -f envs\\{variant}\\environment{suffix}.yml"


def render_known(found: Ordered, context: Context) -> str:
    """The whole answer, the root cause first."""
    root = found.root
    lines = [f"{context.word('cause')}: {cause(root, context)}", "", f"{context.word('evidence')}:"]
    lines += [f"  {_render_line(line, context)}" for line in root.evidence]
    lines += ["", f"{context.word('remedy').format(system=context.system)}:", *_render_steps(root, context)]
    name = ", ".join(filter(None, (root.entry.id, root.entry.row)))
    lines += ["", f"{context.word('references')}: {', '.join(root.entry.references)} ({name})"]
    for match in found.others:
        lines += ["", f"{context.word('others')}:", *_render_short(match, context), *_render_steps(match, context)]
    for key, matches in (("later", found.later), ("consequences", found.consequences)):
        if matches:
            lines += ["", f"{context.word(key)}:"]
        for match in matches:
            lines += _render_short(match, context)
    return "\n".join(lines)


def _render_line(line: Line, context: Context) -> str:
    return context.word("line").format(number=line.number, text=line.shown)


def _render_steps(match: Match, context: Context) -> Iterator[str]:
    for number, step in enumerate(steps(match, context), 1):
        yield f"  {number}. {step.text}"
        if step.command:
            yield from (f"       {line}" for line in step.command.splitlines())


def _render_short(match: Match, context: Context) -> list[str]:
    return [f"  - {cause(match, context)}", f"      {_render_line(match.evidence[-1], context)}"]


def render_unknown(suspects: Sequence[Line], context: Context) -> str:
    """What is said of a log that the catalog knows nothing of."""
    shown = [f"{context.word('suspects')}:", *(f"  {_render_line(line, context)}" for line in suspects)]
    lines = [context.word("unknown"), "", *(shown if suspects else [context.word("no_suspects")])]
    return "\n".join([*lines, "", context.word("add")])
