"""What happened, line by line as it happens, each with its time; and whether it was what it should be."""

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple


class Check(NamedTuple):
    """One thing that should be so."""

    name: str
    got: Any
    wanted: Any

    @property
    def holds(self) -> bool:
        return self.got == self.wanted


def holds(name: str, condition: Any) -> Check:
    """A condition that should be true; anything that is true counts."""
    return Check(name, bool(condition), True)


class Timeline:
    """Writes lines to `write` and counts the checks. Times are the machine's own; +ms counts from the beginning."""

    def __init__(self, write: Callable[[str], Any]):
        self.write = write
        self.began = time.perf_counter()
        self.passed = 0
        self.failed: list[str] = []

    def act(self, title: str) -> None:
        self.write(f"\n{title}")

    def event(self, who: str, what: str, result: str = "", *checks: Check) -> None:
        """One line: who · what · result. ✓ when every check holds; each that does not gets a line of its own."""
        wrong = [check for check in checks if not check.holds]
        self.passed += len(checks) - len(wrong)
        mark = "✗" if wrong else "✓" if checks else " "
        line = " · ".join(filter(None, [who, what, result]))
        self.write(f"{datetime.now():%H:%M:%S} +{self.ms():>6}ms {mark} {line}")
        for check in wrong:
            self.failed.append(f"{who} · {what} · {check.name}")
            self.write(f"{'':>18} ✗ {check.name}:应为 {_short(check.wanted)},实为 {_short(check.got)}")

    def broke(self, why: str) -> None:
        """The day cannot go on."""
        self.failed.append(why)
        self.write(f"{datetime.now():%H:%M:%S} +{self.ms():>6}ms ✗ 演练中断 · {why}")

    def ms(self) -> int:
        return round((time.perf_counter() - self.began) * 1000)

    def summary(self) -> None:
        self.write(
            f"\n核对 {self.passed + len(self.failed)} 处:符合 {self.passed},不符 {len(self.failed)};用时 {self.ms() / 1000:.1f} 秒"
        )
        for each in self.failed:
            self.write(f"  ✗ {each}")
        self.write("全部符合,演练结束。" if not self.failed else "有不符之处,请看上面标 ✗ 的各行。")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 300 else f"{text[:300]}…"
