"""What a text tells a machine to run or to install (pure)."""

import json
import re
from collections.abc import Iterator

from runbookopt.guard.text import Match, is_data

_MARKER = re.compile(r"^[\s>]*(?:[-*+]\s+|\d+[.)]\s+)?`?(?=\$|PS)")
# Programs that fetch, run, change or destroy; a word that is also plain English needs its argument.
_COMMAND = re.compile(
    r"""
    (?: ^[\s>]*(?:[-*+]\s+|\d+[.)]\s+)?`?(?:\$\s+|PS\s[A-Z]:)(?=\S)
    | (?<![\w-])(?:
        wget | sudo | doas | ssh | scp | sftp | rsync | chmod | chown | mkfs | crontab | systemctl
        | nc | ncat | netcat | telnet | kubectl | docker | podman | npx | pipx | uvx | nslookup | printenv
        | curl(?=\s+[^\s,.;])
        | powershell | pwsh | iwr | iex | invoke-\w+ | (?:drop|create)db
        | rm\s+-\w+ | dd\s+if= | kill\s+-\w+ | base64\s+-\w+ | source\s+[./~]
        | (?:ba|z|k|da|fi)?sh\s+(?:-\w+|\S+\.sh) | (?:python|perl|ruby|node|php)[\d.]*\s+(?:-\w+|\S+\.\w+)
        | (?:pip|pip3|npm|yarn|pnpm|brew|apt|apt-get|dnf|yum|apk|cargo|gem|go|uv|conda)\s+(?:install|add
          |run|get|i|tap)
        | git\s+(?:push|pull|clone|fetch|commit|checkout|reset|rebase|merge|remote|config|rm|apply)
        | (?:drop|truncate|alter)\s+(?:table|database|schema|audit\.)\w* | delete\s+from\s+\w+
        | os\.system | subprocess
      )(?:\.exe)?(?![\w-]|\.\w)
    | \|\s*(?:sudo\s+)?(?:/\S*/)?(?:(?:ba|z|k|da|fi)?sh|python[\d.]*|perl|ruby|node|php|iex)(?![\w-])
    | (?<![\w-])(?:eval|exec|system|popen)\s*\( | \$\([^)] | &&\s*\S
    )[^`\n]*
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SPAN = re.compile(
    r"^[\w./~\\-]+\s+(?:\S*[-/=$~*<>:.|\\@]|\S*\d)|[;|&]|\$\(|^(?:\.{1,2}|~)?/\w|\.(?:sh|bash|exe|bat"
    r"|cmd|ps1)$",
    re.IGNORECASE,
)
_RUN = re.compile(
    r"\b(?:run|runs|running|execute[sd]?|enter|type[sd]?|start|launch|invoke|issue|call|with|command"
    r"|terminal|shell)\b"
    r"[^`.]{0,24}`([^`\n]+\s[^`\n]+)`",
    re.IGNORECASE,
)
_SHELLISH = re.compile(
    r"^\s*(?:[$>#%]\s+)?[a-z./~][\w./~-]*\s+(?:.*\s)?(?:--?[a-z]|[|<>]|\$\w)|[|;&]\s*\w+\s+-|>\s*/",
    re.IGNORECASE,
)
_TYPED = re.compile(
    r"""
    \b(?:open|in|into|at)\s+(?:the\s+|a\s+|your\s+)?(?:terminal|shell|console|command[ ](?:line|prompt)
      |powershell)\b
    | \b(?:ctrl|control|command|cmd|windows|win|super|alt)\b[ ]?(?:key)?[ ]?(?:\+|-|and)[ ]?[a-z]\b
    | \b(?:un)?comment(?:ed)?\s+the\s+line\b | \bcopy[ ]and[ ]paste\b
    | \bas\s+(?:root|administrator|superuser)\b | \bshell\s+(?:command|script|access)\b | \bone-liner\b
    | \b(?:run|execute|eval(?:uate)?)\s+(?:it|them|this|that|what|whatever|the\s+(?:script|code|command
      |file|result|output)s?)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def commands(found: Match) -> Iterator[str]:
    """Give shell lines, lines of code blocks, and code spans that are more than a name."""
    match found.kind:
        case "block":
            yield from _lines_of(found)
        case "span" if _SPAN.search(found.what) and not _is_json(found.what):
            yield " ".join(found.what.split())
        case "raw" | "rendered":
            for command in _COMMAND.finditer(found.what):
                yield " ".join(_MARKER.sub("", command[0]).split()).rstrip(" .,;|")
            for match in _RUN.finditer(found.what):
                yield " ".join(match[1].split())
        case _:
            pass


def _lines_of(block: Match) -> Iterator[str]:
    """Give the lines of a code block one by one, so that their order is no news."""
    if is_data(block) and (_is_json(block.what) or (block.note and not _SHELLISH.search(block.what))):
        return
    for line in block.what.splitlines():
        if line.strip() and not (is_data(block) and block.note and not _SHELLISH.search(line)):
            yield " ".join(line.split())


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in {"{", "["}:
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def typed(text: str) -> Iterator[str]:
    """Give words that have something run or typed without saying what: a terminal, a key to press."""
    for match in _TYPED.finditer(text):
        yield " ".join(match[0].split()).casefold()


_PACKAGE = re.compile(
    r"""
    (?<![\w-])(?:
        (?:pip3?|npm|yarn|pnpm|brew|apt(?:-get)?|dnf|yum|apk|cargo|gem|conda|winget|choco|snap|go|uv|helm
          |docker|podman|pipx?)
          \s+(?:install|add|get|i|tap|pull|run|repo|upgrade|exec)\b[^`\n]*
        | (?:npx|pipx|uvx|bunx)\s+\S+[^`\n]*
    )
    | \b(?:browser|chrome|firefox|vs[ ]?code|editor)['\u2019s]*\s+(?:extension|add-?on|plug-?in|store)s?\b
    | \b(?:install(?:s|ed|ing)?|add(?:s|ed|ing)?|download(?:s|ed|ing)?|fetch(?:es|ed)?|pull(?:s|ed)?
      |load(?:s|ed)?|get|enable[sd]?|update[sd]?
        |keep|subscribe[sd]?(?:\s+to)?|register(?:s|ed)?|deploy(?:s|ed)?|use)
      \s(?:[^.;\n]{0,40}\s)?(?:extension|add-?on|plug-?in|skill|package|library|module|wheel|gem|crate
        |image|container|chart
        |formula|tap|binary|installer|repository|repo|helm|sdk|driver|firmware|patched\s\w+|mirror)s?\b
    | \b(?:app|plug-?in|skill|extension|community|model)[ -]?(?:store|hub|marketplace|market[ ]place
      |market)\b
    | \bpull\s+(?:it|them)\s+from\b | \binstead\s+of\s+the\s+released\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def packages(text: str) -> Iterator[str]:
    """Give what is fetched to be used: packages, images, extensions, skills."""
    for match in _PACKAGE.finditer(text):
        yield " ".join(match[0].split()).casefold()


_TOOL = re.compile(
    r"""
    \bmcp__\w+ | \b(?:mcp|plugin)[ ](?:server|tool)s?\b
    | \ballowed[-_ ]tools?\b | \b(?:Bash|Shell|WebFetch|WebSearch|Write|Edit|Read|Task)\([^)]*\)
    | (?-i:\bWeb(?:Fetch|Search)\b)
    | \b(?:with|use|uses|using|call|calls|calling|invoke|through|via|open|start|run)\s+(?:the\s+|a\s+
      |an\s+|our\s+|your\s+)?
      (?:[\w'\u2019-]+\s+){0,2}(?:tool|console|api|back[ ]?end|admin\s(?:panel|page|account|interface)
        |browser|debugger)\b
    | \b(?:with|use|uses|using|call|calls|via|through|run|start)\s+`?[a-z]+(?:_[a-z]+)+\b
    | \b(?:search(?:es)?|look(?:s)?\s+(?:it\s+|them\s+)?up|browse[sd]?|google)\s+(?:the\s+|on\s+the\s+
      |on\s+)?(?:web|internet|online|net)\b
    | \bweb[ -]?(?:search|browser|page)\w*\b | \bsearch[ ]engine\b | \bopen\s+browser\b
      | \bbrowser[ ](?:tab|session)s?\b
    | \b(?:anydesk|team ?viewer|rustdesk|quick ?assist|remote[ ](?:desktop|control|support|session
      |access)|screen[ -]?shar\w*)\b
    | \b(?:second|another|sub-?|other|new|separate)[ -]?agents?\b
    | --(?:yolo|dangerously[\w-]*|no-verify|force|auto-approve|yes)\b | \bauto[- ]?approve\w*\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_DOTTED = re.compile(r"(?<![\w./@$-])([a-z]\w*)\.([a-z]\w*)(?![\w.(/-])", re.IGNORECASE)


def tools(text: str) -> Iterator[str]:
    """Give tools, agents and ways to the web that an agent is told to use."""
    for match in _TOOL.finditer(text):
        yield " ".join(match[0].split()).casefold()


def tools_of_known(text: str, known: set[str]) -> Iterator[str]:
    """Give dotted names of the families that a text has tools of: `mail.send` beside `mail.draft`."""
    for match in _DOTTED.finditer(text):
        if match[1].casefold() in known:
            yield match[0].casefold()


def families(found: Match) -> Iterator[str]:
    """Give the first parts of the dotted names in code spans."""
    if found.kind == "span" and (match := _DOTTED.fullmatch(found.what)) and not found.what.endswith(_FILE):
        yield match[1].casefold()


_FILE = (".md", ".json", ".yaml", ".yml", ".txt", ".py", ".csv", ".pdf", ".sh")
