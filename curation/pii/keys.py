"""Secrets: API keys, private keys, and passwords that are written out."""

import math
import re
from collections import Counter
from collections.abc import Iterator

from curation.pii.spans import Span

_END = r"(?![A-Za-z0-9_-])"
_PREFIXED: tuple[tuple[tuple[str, ...], str], ...] = (
    # (what the text must contain, pattern). Shapes: the makers' documentation, as gathered by gitleaks
    # (https://github.com/gitleaks/gitleaks/blob/master/config/gitleaks.toml) and GitHub
    # (https://docs.github.com/en/code-security/secret-scanning/introduction/supported-secret-scanning-patterns).
    (("AKIA", "ASIA", "ABIA", "ACCA"), r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])"),  # AWS access key id
    (("AIza",), rf"AIza[0-9A-Za-z_-]{{35}}{_END}"),  # Google API key
    (("GOCSPX-",), rf"GOCSPX-[0-9A-Za-z_-]{{28}}{_END}"),  # Google OAuth client secret
    (("ya29.",), r"ya29\.[0-9A-Za-z_-]{20,512}"),  # Google OAuth access token
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[0-9A-Za-z]{36,255}"),  # GitHub
    (("github_pat_",), r"github_pat_[0-9A-Za-z_]{60,255}"),
    (("glpat-",), r"glpat-[0-9A-Za-z_-]{20,64}"),  # GitLab
    (("xox",), r"xox[abeoprs](?:\.xox[bp])?-[0-9A-Za-z-]{10,255}"),  # Slack tokens
    (("xapp-",), r"xapp-[0-9]-[0-9A-Za-z-]{10,255}"),
    (
        ("hooks.slack.com/",),
        r"(?<=hooks\.slack\.com/services/)T[0-9A-Za-z]{8,12}/B[0-9A-Za-z]{8,12}/[0-9A-Za-z]{20,30}",
    ),
    (("k_live_", "k_test_"), r"[sr]k_(?:live|test)_[0-9A-Za-z]{16,255}"),  # Stripe; pk_ is public
    (("whsec_",), r"whsec_[0-9A-Za-z+/=]{24,64}"),
    (("hf_",), r"hf_[A-Za-z]{34}(?![A-Za-z0-9])"),  # Hugging Face
    (("npm_",), r"npm_[0-9A-Za-z]{36}(?![A-Za-z0-9])"),
    (("pypi-AgE",), r"pypi-AgE[0-9A-Za-z_-]{50,512}"),
    (("SG.",), rf"SG\.[0-9A-Za-z_-]{{22}}\.[0-9A-Za-z_-]{{43}}{_END}"),  # SendGrid
    (("dop_v1_", "doo_v1_"), r"do[op]_v1_[0-9a-f]{64}"),  # DigitalOcean
    (("shpat_", "shpss_", "shpca_"), r"shp(?:at|ss|ca)_[0-9a-fA-F]{32}"),  # Shopify
    (("eyJ",), r"eyJ[0-9A-Za-z_-]{8,4096}\.eyJ[0-9A-Za-z_-]{8,8192}\.[0-9A-Za-z_-]{16,2048}"),  # JWT, RFC 7519
    ((":AA",), rf"[0-9]{{8,10}}:AA[0-9A-Za-z_-]{{33}}{_END}"),  # Telegram bot
)
_COMPILED = tuple((mark, re.compile(rf"(?<![A-Za-z0-9_]){pattern}")) for marks, pattern in _PREFIXED for mark in marks)
_WITHOUT_UNDERSCORE = tuple(each for each in _COMPILED if "_" not in each[0])
_SK = re.compile(r"(?<![A-Za-z0-9_-])sk-(?:[a-z0-9]{2,12}-){0,2}[0-9A-Za-z_-]{20,255}")
"""OpenAI, Anthropic and those who do as they do. Words joined with hyphens look like it: entropy decides."""

_PEM = re.compile(r"-----BEGIN ((?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?)-----")
_PEM_BODY = re.compile(r"(?:\s{1,4}[A-Za-z0-9+/=:,. -]{1,130}){0,400}")
"""RFC 7468, and OpenPGP's armor; what follows a beginning without an end."""

_ASSIGNED = re.compile(
    r"[=:：]>?\s{0,3}(?:[Bb]earer |[Bb]asic )?([\"'`]?)([^\s\"'`<>,;|(){}\[\]\\=]{10,256}(?:={1,2}(?![A-Za-z0-9]))?)"
)
_SECRET_NAME = re.compile(
    r"(?<![A-Za-z])(?:pass(?:word|wd|phrase|code)?|pwd|kennwort|passwort|contraseña|senha|mot[ _]de[ _]passe|пароль|"
    r"(?:client|app|aws|consumer)?[_-]?secret(?:[_-]?(?:access[_-]?)?key)?|(?:access|auth|api|bearer|refresh|session|id)?"
    r"[_-]?token|(?:api|access|account|auth|private|encryption|storage)[_-]?key|bearer)[\"']?(?: is)?\s{0,3}:?$"
    r"|(?:密码|密碼|パスワード|비밀번호)\s?$",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\bBearer ([0-9A-Za-z._~+/-]{20,2048}=*)")
_USERINFO = re.compile(r"://[^\s/:@?#\"'<>]{1,64}:([^\s/@?#\"'<>]{3,128})@(?=[A-Za-z0-9\[])")
_VARIABLE = re.compile("[a-z]+(?:_[a-z]+)+|[A-Z]+(?:_[A-Z]+)+")
_NO_SECRET = re.compile(
    r"example|x{4}|\*{3}|\.{3}|1234567|abcdef|your[_-]|change|placeholder|dummy|sample|redacted|^https?:|^[A-Za-z]:?[\\/]"
    r"|^[./~]|@[A-Za-z]",
    re.IGNORECASE,
)


def keys(text: str) -> Iterator[Span]:
    """Secrets in a text.

    - Keys with their maker's prefix, unless they say EXAMPLE, as those of AWS's documentation do; public keys and
      ids stay.
    - ``sk-`` followed by 20 characters or more with digits and a high entropy.
    - Private keys in PEM or PGP armor, from BEGIN to END; without an END the lines that can be part of it.
    - The value of ``password=``, ``token:``, ``"api_key": "..."``, ``Bearer ...`` and the like, in several languages,
      if it has 10 characters or more, letters and digits, and an entropy of 3 bits a character or more (a random
      one of 10 has about 3.2), and is no path, variable, call or example.
    - The password of ``scheme://user:password@host``.
    """
    for mark, pattern in _COMPILED if "_" in text else _WITHOUT_UNDERSCORE:
        if mark in text:
            for each in pattern.finditer(text):
                if not each[0].endswith("EXAMPLE"):
                    yield Span(*each.span(), "key")
    if "sk-" in text:
        for each in _SK.finditer(text):
            if _random(each[0].rpartition("-")[2], least=16) and not _NO_SECRET.search(each[0]):
                yield Span(*each.span(), "key")
    if "PRIVATE KEY" in text:
        yield from _private_keys(text)
    if "://" in text and "@" in text:
        for each in _USERINFO.finditer(text):
            if not _placeholder(each[1]):
                yield Span(*each.span(1), "key")
    if "Bearer " in text:
        for each in _BEARER.finditer(text):
            if _random(each[1]):
                yield Span(*each.span(1), "key")
    for each in _ASSIGNED.finditer(text):
        value = each[2]
        if not each[1] and "&" in value and ("?" in text[max(0, each.start() - 256) : each.start()]):
            value = value.partition("&")[0]  # of the query of a URL
        value = value.rstrip(".:?!") if not each[1] else value
        if (
            _random(value)
            and not _NO_SECRET.search(value)
            and _SECRET_NAME.search(text, max(0, each.start() - 32), each.start())
        ):
            yield Span(each.start(2), each.start(2) + len(value), "key")


def _private_keys(text: str) -> Iterator[Span]:
    end = 0
    for begin in _PEM.finditer(text):
        if begin.start() < end:
            continue
        closing = f"-----END {begin[1]}-----"
        # A key of 16,384 bits has 12 kB.
        at = text.find(closing, begin.end(), begin.end() + 20_000)
        if at >= 0:
            end = at + len(closing)
        else:
            body = _PEM_BODY.match(text, begin.end())
            end = body.end() if body else begin.end()
            if end - begin.end() < 40:  # the line is mentioned, and no key follows
                continue
        yield Span(begin.start(), end, "key")


def _random(value: str, least: int = 10) -> bool:
    """Whether a value looks drawn at random: letters and digits, and 3 bits a character or more."""
    if len(value) < least or not any(c.isdigit() for c in value) or not any(c.isalpha() for c in value):
        return False
    value = value[:256]
    counts = Counter(value).values()
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts) >= 3.0


def _placeholder(value: str) -> bool:
    return value.lower().strip("*.x") in ("", "password", "pass", "passwd", "pwd", "secret", "pw") or bool(
        _NO_SECRET.search(value) or value.startswith(("$", "{", "<", "%")) or _VARIABLE.fullmatch(value)
    )
