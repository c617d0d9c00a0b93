"""The verdict of a promotion: promoted or not, and why, for people (Markdown) and programs (JSON)."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from windcast.evaluation.gate import Finding
from windcast.registry.pointer import write_whole


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """forced: it did not pass, and `reason` says why it was promoted all the same. facts: spans and issue times."""

    farm: str
    promoted: bool
    forced: bool
    reason: str
    challenger: dict[str, Any]
    champion: dict[str, Any] | None
    findings: list[Finding]
    made: str
    command: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        who = f"version {self.challenger['version']} ({self.challenger['model']})"
        against = "" if self.champion is None else f", the champion was version {self.champion['version']}"
        failed = [finding.name for finding in self.findings if not finding.passed]
        if self.forced:
            return f"{self.farm}: {who} promoted by force{against}; it failed {', '.join(failed)}: {self.reason}"
        if self.promoted:
            return f"{self.farm}: {who} promoted{against}."
        return f"{self.farm}: {who} not promoted{against.replace('was', 'stays')}; it failed {', '.join(failed)}."

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"headline": self.headline}

    def to_markdown(self) -> str:
        rows = [f"| {f.name} | {'yes' if f.passed else '**no**'} | {f.said.replace('|', '/')} |" for f in self.findings]
        seen = self.facts.get("seen", {})
        spans = [
            f"- {name}: trained until {span['trained_until']}"
            + (f", tuned until {span['tuned_until']}" if span["tuned_until"] else "")
            for name, span in seen.items()
        ]
        lines = [f"# {self.headline}", "", "| | met | |", "|---|---|---|", *rows, "", *spans, ""]
        who = [("challenger", self.challenger), *([] if self.champion is None else [("champion", self.champion)])]
        lines += [f"- {name}: {told['origin']}, manifest sha256 {told['checksum']}" for name, told in who]
        return "\n".join([*lines, "", f"Made {self.made}" + (f" by `{self.command}`." if self.command else "."), ""])

    def write(self, beside: Path) -> Path:
        """Into a folder of its own, which is returned; earlier verdicts stay."""
        stamp = self.made.replace(":", "").replace("-", "")[:15].replace("T", "-")
        folder, number = beside / stamp, 2
        while folder.exists():
            folder, number = beside / f"{stamp}-{number}", number + 1
        write_whole(folder / "verdict.md", self.to_markdown())
        write_whole(folder / "verdict.json", json.dumps(self.to_dict(), indent=1, allow_nan=True))
        return folder
