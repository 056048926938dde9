"""Where the published data of probes is, and that it is not there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from audit.probes.base import Case, Data, Probe
from audit.probes.reading import matching
from audit.source import Source
from curation.errors import UserError
from curation.workspace import Workspace


class NotThere(UserError):
    """The data of a probe is missing; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Places:
    """What cases can come from."""

    folders: Sequence[Path]
    """Folders of published data, looked through in this order."""
    workspace: Workspace | None = None
    source: Source | None = None
    """The model that is audited."""
    download: bool = False
    """Whether to get what is missing from the hub."""

    def find(self, data: Data) -> Path:
        """The folder of a probe's files: ``FOLDER/<its name>``, a folder in that, or a folder that itself holds them.

        Raises:
            NotThere: as said.
        """
        found = self._there(data)
        if found is None and data.hub is not None and self.download:
            self._download(data)
            found = self._there(data)
        if found is not None:
            return found
        missing = f"get {data.wanted} from {data.url}" + (" (or say --hub true)" if data.hub is not None else "")
        looked = ", ".join(str(folder / data.folder.rstrip("*")) for folder in self.folders)
        raise NotThere(f"its data is not there: {missing}, and put it into {looked}, or name the folder with --data")

    def _there(self, data: Data) -> Path | None:
        for folder in self.folders:
            for each in (*sorted(folder.glob(data.folder)), *sorted(folder.glob(f"{data.folder}/*")), folder):
                if all(matching(each, pattern) for pattern in data.files):
                    return each
        return None

    def _download(self, data: Data) -> None:
        """Get a data set of the hub into the last folder."""
        from huggingface_hub import snapshot_download

        assert data.hub is not None
        folder = self.folders[-1] / data.folder.rstrip("*")
        wanted = list(data.hub_files)
        try:
            snapshot_download(data.hub, repo_type="dataset", allow_patterns=wanted, local_dir=folder)
        except Exception as error:  # its errors have no common base
            raise NotThere(
                f"its data cannot be had from the Hugging Face hub ({data.hub}: {type(error).__name__}): get "
                f"{data.wanted} from {data.url}, and put it into {folder}, or name the folder with --data"
            ) from error


def read_cases(probe: Probe, places: Places) -> list[Case]:
    """The cases of a probe, each with an id of its own.

    Raises:
        NotThere: its data is missing.
        UserError: its data is malformed.
    """
    cases = probe.cases(places)
    seen: dict[str, int] = {}
    for place, case in enumerate(cases):
        seen[case.id] = seen.get(case.id, 0) + 1
        if seen[case.id] > 1:
            cases[place] = replace(case, id=f"{case.id}#{seen[case.id]}")
    return cases
