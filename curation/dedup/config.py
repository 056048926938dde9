"""The configuration of deduplication."""

from dataclasses import dataclass, field

from curation.errors import UserError

LONGEST_SHINGLE = 256
"""What ``curation.words.ngram_hashes`` can do."""


@dataclass(frozen=True)
class NearConfig:
    """Near-duplicates: MinHash finds candidates, their true Jaccard similarity decides."""

    enabled: bool = True
    """Remove near-duplicates."""
    ngram: int = 5
    """Words in a shingle. FineWeb's 5 (Penedo et al. 2024, https://arxiv.org/abs/2406.17557)."""
    bands: int = 14
    """Bands of the signature: two documents that agree in one whole band are compared. FineWeb's 14."""
    rows: int = 8
    """Hash values in a band. FineWeb's 8; with 14 bands half of the pairs at Jaccard .71 are compared, and
    99.9 % of those at .9. ``--dry-run`` prints the curve."""
    threshold: float = 0.7
    """Least true Jaccard similarity of the two sets of shingles at which a document is a duplicate."""

    def __post_init__(self) -> None:
        for name in ("ngram", "bands", "rows"):
            if getattr(self, name) < 1:
                raise UserError(f"dedup.near.{name}: {getattr(self, name)} is not positive")
        if self.ngram > LONGEST_SHINGLE:
            raise UserError(f"dedup.near.ngram: {self.ngram} is more than {LONGEST_SHINGLE}")
        if not 0 < self.threshold <= 1:
            raise UserError(f"dedup.near.threshold: {self.threshold} is not above 0 and at most 1")


@dataclass(frozen=True)
class AlarmConfig:
    """When to warn that deduplication has taken too much: boilerplate can wipe out a whole source."""

    max_removed_share: float = 0.5
    """Share of a domain's, a language's or a raw file's documents above which a warning names it."""
    min_documents: int = 50
    """Domains, languages and raw files with fewer documents before deduplication are not looked at."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_removed_share <= 1:
            raise UserError(f"dedup.alarm.max_removed_share: {self.max_removed_share} is not between 0 and 1")
        if self.min_documents < 1:
            raise UserError(f"dedup.alarm.min_documents: {self.min_documents} is not positive")


@dataclass(frozen=True)
class DedupConfig:
    """Which documents are the same as another. The one with the smallest id stays."""

    url: bool = True
    """Of documents with the same URL (without scheme, ``www.``, port, fragment) one stays."""
    exact: bool = True
    """Of documents with the same text (case, punctuation and white space aside) one stays."""
    near: NearConfig = field(default_factory=NearConfig)
    """Near-duplicates."""
    against: list[str] = field(default_factory=lambda: ["workspace"])
    """Runs whose documents count as held already: ``workspace`` (for each raw file the newest finished run
    that read it), run ids, or nothing. Documents of the raw files that the run itself reads never count."""
    alarm: AlarmConfig = field(default_factory=AlarmConfig)
    """Warnings."""

    @property
    def enabled(self) -> bool:
        """Whether anything is looked for."""
        return self.url or self.exact or self.near.enabled
