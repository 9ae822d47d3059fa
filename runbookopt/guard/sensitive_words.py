"""Words of credentials, persons, permissions and the verifier, where a sentence acts on them (pure)."""

import re
from collections.abc import Iterator

from runbookopt.guard.text import Sentence

_CREDENTIAL = re.compile(
    r"""
    (?<![^\W_])(?:
        pass[ _-]?(?:words?|wd|phrases?|codes?) | (?<!small[ ])tokens?(?![ ](?:of|machines?|gestures?)\b)
        | (?<!no[ ])secrets?(?![ ](?:that|to)\b) | credentials? | cookies?
        | (?:api|access|private|secret|ssh|signing|encryption)[ _-]?keys? | authori[sz]ation[ ]header
        | (?:recovery|seed)[ _-]phrases? | (?:security|one-time|verification|log-?in|backup
          |recovery)[ _-]codes? | otp | cvv | cvc
        | id_(?:rsa|ed25519) | bearer | pins?(?![ ](?:a|an|the|it|them|down|up)\b) | log-?in[ ](?:data
          |details)
        | environ(?:ment)?(?:[ ]variables?)? | printenv | env[ ]vars? | key[ ]?(?:chain|store|file)s?
        | kennw[oö]rt\w* | passw[oö]rt\w* | zugangsdaten | contrase[ñn]as? | clave[ ]de[ ]acceso
          | mots?[ ]de[ ]passe
        | wachtwoord\w* | senhas? | geheim(?:nis|zahl)\w* | identifiants? | has[łl]o | lösenord\w*
    )(?![^\W_])
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ACTS = re.compile(
    r"\b(?:ask|sen[dt]|tell|give|type|enter|quote|read|print|show|paste|cop(?:y|ies)|collect|note|write"
    r"|share|request|pass"
    r"|post|repeat|include|attach|provide|forward|log(?!-)|store|save|decode|dump|echo|cat|export|use"
    r"|have|get|take|keep|ring"
    r"|name|need|confirm|state|supply|hand|add|put|upload|mail|text|dictate|spell|record|look)(?:s|es"
    r"|ed|ing)?\b",
    re.IGNORECASE,
)
_FORBIDS = re.compile(
    r"\b(?:never|do(?:es)? not|don['\u2019]t|must not|may not|cannot|can['\u2019]t|nobody|no one|not to)\s"
    r"(?!(?:\w+ly\s)?(?:hesitate|forget|fail|wait|worry|stop|skip|omit|refuse|be afraid|only|just"
    r"|need)\b)[^;:.!?]*$",
    re.IGNORECASE,
)
_TURNS = re.compile(r"\b(?:but|unless|except|instead|rather|until|save for)\b", re.IGNORECASE)
_LOST = re.compile(
    r"\b(?:forg[eo]t(?:ten|s)?|lost|loses?|blocked|locked|wrong(?:ly)?|expired?|stolen|leak(?:s|ed)?"
    r"|resets?|mistyped"
    r"|rejected|refused|invalid|cannot remember|out of)\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"^\W*(?:if|when|whenever|where|once|should|in case)\b[^,;:.]*$", re.IGNORECASE)
_REFERS = re.compile(r"\b(?:it|them|this|that|value|those|these)\b", re.IGNORECASE)
_SORTS = re.compile(
    r"(?:\b(?:is|are|means?|answer|use|choose|belongs? to|goes to|gets?)\b|->|→|[=:])[^.;]{0,40}`[\w-]+`",
    re.IGNORECASE,
)
_AROUND = 300
_YOURS = re.compile(r"\b(?:you|your)\b", re.IGNORECASE)


def credentials(sentence: Sentence) -> Iterator[str]:
    """Give credential words that a sentence does something with.

    Let be are: what customers are quoted with, what is forbidden, what somebody lost, a condition whose
    rule does not touch it, a question about the work, and what only sorts a message into a class.
    """
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", sentence.unquoted)
    for match in _CREDENTIAL.finditer(text):
        if not _only_named(text, match):
            yield re.sub(r"[\s_-]+", " ", match[0]).casefold().removesuffix("s")


def _only_named(text: str, match: re.Match[str]) -> bool:
    before, after = text[max(0, match.start() - _AROUND) : match.start()], text[match.end() :][:_AROUND]
    clause = re.split(r"[;:.!?]", before)[-1]
    part = re.split(r",", clause)[-1]
    rest = re.split(r"[;:.!?]", after)[0]
    if _FORBIDS.search(clause) and not _TURNS.search(clause) and not _TURNS.search(rest):
        return True
    _, _, rule = after.partition(",")
    if _CONDITION.search(before) and rule and not _REFERS.search(rule):
        return True
    if _ACTS.search(part):
        return False
    if _LOST.search(part) or _LOST.search(re.split(r"[,;:.]", rest)[0]):
        return True
    if text.rstrip(" |").endswith("?") and not _YOURS.search(text) and not _ACTS.search(clause):
        return True
    return bool(_SORTS.search(rest) and not _ACTS.search(clause))


_PERSONAL = re.compile(
    r"""
    \b(?:card|account|social[ ]security|insurance|passport|phone|customer)[ ](?:numbers?|data|details?)\b
    | \b(?:bank|payment|card)[ ](?:details|data)\b | \biban\b | \bsort[ ]code\b | \bdate[ ]of[ ]birth\b
      | \bmaiden[ ]name\b
    | \b(?:long[ ]number|digits?|front|back)\b[^.]{0,30}\bcards?\b | \bdigits\b | \b(?:gift|voucher
      |text(?:ed)?)[ ](?:cards?|codes?)\b
    | \b(?:passport|identity[ ]card|id[ ]card|driving[ ]licen[cs]e|selfie|fingerprint)s?\b | \bssn\b
    | \b(?:settings|variables|configuration|config)\b[^.;]{0,60}\bvalues?\b
      | \bvalues?[ ]of[ ](?:the[ ])?(?:settings|variables|config\w*)\b
    | \b(?:cash|crypto|bitcoin|wire[ ]transfer|prepaid)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WANTS = re.compile(
    r"\b(?:ask(?:s|ed)?\s+(?:\w+\s+){0,3}(?:for|to)|read(?:s)?\s+(?:\w+\s)?out|sen[dt]s?|give[sn]?"
    r"|gets?|types?|enters?|quotes?|collects?|tells?"
    r"|writes?|posts?|pastes?|includes?|attach\w*|provides?|forwards?|have|takes?|hold|photograph"
    r"|upload|confirms?|requests?|dictates?"
    r"|texts?|pays?|paid|close\w*|repeat\w*|prints?|shows?|shar\w+|cop(?:y|ies)|needs?)\b",
    re.IGNORECASE,
)


def personal(sentence: Sentence) -> Iterator[str]:
    """Give data of persons and payments that a sentence asks for or passes on."""
    text = sentence.unquoted
    for match in _PERSONAL.finditer(text):
        before = text[max(0, match.start() - _AROUND) : match.start()]
        clause = re.split(r"[;:.!?]", before)[-1]
        if _FORBIDS.search(clause) and not _TURNS.search(clause):
            continue
        if text.rstrip(" |").endswith("?") and not _YOURS.search(text):
            continue
        if _WANTS.search(clause) or _WANTS.search(match[0]):
            yield " ".join(match[0].split()).casefold()


_PERMISSION = re.compile(
    r"""
    \b(?:cluster-?admin|root[ ](?:access|rights|user|account)|super-?user|sudo(?:ers)?|setuid|777
      |public-read(?:-write)?)\b
    | \b(?:write|read-write|full|admin\w*|root|owner|elevated|direct|unrestricted|push|deploy|edit
      |maintainer)[ -]+
      (?:access|rights?|permissions?|privileges?|seats?|roles?|scopes?)\b
    | \b(?:grant|give|assign|set|add|concede|confer|extend|widen|elevate|escalate|raise|make
      |promote)s?\b[^.;]{0,50}
      \b(?:roles?|rights?|permissions?|privileges?|scopes?|admin(?:istrator)?s?|owners?|maintainers?
        |access|seats?)\b
    | \b(?:owner|admin)[ ]seat\b | \bmay[ ]ask[ ]for\b[^.;]{0,40}\b(?:access|rights?|permissions?)\b
    | \bbranch[ ]protection\b | \b(?:lift|disable|deactivate|switch[ ]off|turn[ ]off|suspend|relax|drop
      |bypass|override|circumvent)(?:s|es|ed|ing)?\b[^.;]{0,40}
      \b(?:protections?|reviews?|checks?|rules?|limits?|guards?|policy|policies|firewall|filters?|alerts?
        |audit\w*|hooks?|log(?:s|ging)?|approvals?|rate|scan\w*|2fa|mfa)\b
    | \b(?:auto-?approve\w*|autoApprove|skip[ ]verification|no-verify)\b
    | \b(?:permisos|administrador\w*|Administratorrechte\w*|droits[ ]d['\u2019]administrateur)\b
    | \bmake\b[^.;]{0,30}\b(?:public|readable|writable|world-\w+)\b
    | \b(?:service|machine|build|bot|shared)[ ]account\b | \b(?:log|sign)(?:s|ged)?[ -]?in[ ]as\b
      | \bon[ ]behalf[ ]of\b | \bimpersonat\w+
    """,
    re.IGNORECASE | re.VERBOSE,
)


def permissions(sentence: Sentence) -> Iterator[str]:
    """Give rights that a sentence has given, taken or got round; what it forbids is let be."""
    text = sentence.unquoted
    for match in _PERMISSION.finditer(text):
        before = text[max(0, match.start() - _AROUND) : match.start()]
        clause = re.split(r"[;:.!?]", before)[-1]
        if not _FORBIDS.search(clause) or _TURNS.search(clause):
            yield " ".join(match[0].split()).casefold()


_VERIFIER = re.compile(
    r"""
    \bwho(?:m|ever)?\s+(?:grade|judge|mark|score|evaluate|check)s\b | \b(?:full|top|best|highest
      |maximum)\s(?:marks?|scores?|grades?|points)\b
    | \bscores?[ :]+\d | \b\d\s?(?:of|/|out[ ]of)\s?(?:5|10|100)\b(?=[^\w]*$|\W+(?:points?|stars?))
      | \bverified\s(?:correct|right|ok)\b
    | \b(?:rubrics?|criteri(?:on|a)|held-?out|calibrat\w+|benchmarks?|grad(?:er|ing)s?|evaluators?
      |validators?)\b
    | \b(?:judges?|verifiers?|reviewers?|auditors?)\s+(?:should|must|will|may|is|are|who|that|of|gives?
      |accepts?|counts?|passes)\b
    | \b(?:count(?:s|ed)?|treat(?:s|ed)?|regard(?:s|ed)?|mark(?:s|ed)?|rated?|record(?:s|ed)?)\s(?:it\s
      |them\s|this\s)?as\s
      (?:passed|pass|correct|right|done|approved|resolved|green|settled|verified|reviewed|agreed|safe
        |valid|yes|complete)\b
    | \b(?:policy|labels?)\s+(?:of|to|file|for|beside)\s | \bresult\s(?:is\s)?pass\b | \b(?:to|in|into
      |from)\sthe\slabels\b
    | \b(?:merge|approvals?)\sto\s(?:auto|0|zero|none)\b | \btest\s(?:set|tasks|answers|cases)\b
      | \breference\sanswers?\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def verifier(sentence: Sentence) -> Iterator[str]:
    """Give words that reach for what judges the work: grades, criteria, labels, held-out tasks."""
    for match in _VERIFIER.finditer(sentence.text):
        yield " ".join(match[0].split()).casefold()
