"""The watcher: looks for the cloud's notice again and again, and drains this machine's node when there is one."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Sequence

from midb_ray.errors import ExitCode, one_line
from midb_ray.operations.draining import Node, RayNode
from midb_ray.operations.metadata import MetadataError, asker
from midb_ray.operations.notice import CLOUDS, Cloud, Notice
from midb_ray.operations.watch_settings import WatchSettings

logger = logging.getLogger(__name__)

_STRANGER_PAUSE = 60.0  # at most, between looks at a server that has never answered
_PAUSE = 10.0  # at most, once it has: a notice may leave no more than 30 s
_RETRY = 2.0  # between attempts to drain


def watch(settings: WatchSettings) -> int:
    """Watch until somebody ends it (SIGTERM, Ctrl-C); returns the exit code. No failure ends it, nor the node."""
    ask = asker(settings.endpoint)
    names = list(CLOUDS) if settings.cloud == "auto" else [settings.cloud]
    watcher = Watcher(settings, [CLOUDS[name](ask) for name in names], RayNode(settings.address, settings.node_id))
    try:
        while True:
            time.sleep(watcher.step())
    except KeyboardInterrupt:
        logger.info("The watch is ended.")
        return ExitCode.OK


class Watcher:
    """What is known so far. `step` is one look and what follows from it."""

    def __init__(
        self, settings: WatchSettings, clouds: Sequence[Cloud], node: Node, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._candidates = clouds
        self._cloud = clouds[0] if len(clouds) == 1 else None
        self._node = node
        self._clock = clock
        self._answered = False
        self._failures = 0
        self._said = ""
        self._node_id = ""
        self._find_at = 0.0
        self._find_pause = _RETRY
        self._notice: Notice | None = None
        self._deadline: float | None = None
        self._done = False

    def step(self) -> float:
        """Look once, drain if it is time; returns the seconds until the next look."""
        began = self._clock()
        try:
            self._take(self._look())
        except Exception as trouble:  # whatever a server says: the next look may bring a notice
            pause = self._trouble(trouble)
        else:
            pause = max(0.0, self._settings.interval - (self._clock() - began))
        return min(pause, _RETRY) if not self._act() else pause

    def _look(self) -> Notice | None:
        if self._cloud is None:
            self._cloud = self._recognise()
        found = self._cloud.look(self._settings.interval)
        if self._failures or not self._answered:
            logger.info("The metadata server answers (%s); watching for its notice.", self._cloud.name)
        self._answered, self._failures = True, 0
        return found

    def _recognise(self) -> Cloud:
        troubles = []
        for cloud in self._candidates:
            try:
                cloud.greet()
            except MetadataError as trouble:
                troubles.append(f"{cloud.name}: {trouble}")
            else:
                return cloud
        raise MetadataError("; ".join(troubles))

    def _trouble(self, trouble: Exception) -> float:
        if not self._failures:  # once, and not with every look
            unknown = "" if isinstance(trouble, MetadataError) else f"{type(trouble).__name__}: "
            logger.warning("No notice can be read; the watch goes on (%s%s).", unknown, one_line(trouble))
        self._failures += 1
        longest = _PAUSE if self._answered else _STRANGER_PAUSE
        return min(self._settings.interval * 2.0 ** min(self._failures, 10), max(longest, self._settings.interval))

    def _take(self, found: Notice | None) -> None:
        """Say what is new, and what is gone."""
        before = self._notice
        if found is not None and before is not None and found.key == before.key:
            return
        if before is not None and found is None:
            drained = f"node {self._node_id} stays drained, as Ray takes none back, and leaves when its work is done"
            logger.warning("Withdrawn: %s; %s.", before.text, drained if self._done else "nothing was drained")
        self._notice, self._done, self._deadline = found, False, None
        if found is None:
            return
        self._deadline = found.deadline
        if found.deadline is None and found.grace:
            self._deadline = self._clock() + found.grace
        elif found.deadline is None and found.certain:
            self._deadline = self._clock()
        when = "no time is set" if self._deadline is None else f"at {_shown(self._deadline)}"
        advice = "" if self._wanted(found) else "; the node goes on (--rebalance drain would drain it)"
        logger.warning("Notice: %s, %s%s.", found.text, when, advice)

    def _wanted(self, notice: Notice) -> bool:
        return notice.certain or self._settings.rebalance == "drain"

    def _act(self) -> bool:
        """Drain if it is time; otherwise learn which node is to be drained. False: drain again soon."""
        notice = self._notice
        if notice is None or self._done or not self._wanted(notice):
            self._find()
            return True
        if self._deadline is not None and self._deadline - self._clock() > self._settings.lead:
            self._find()
            return True
        try:
            self._node_id = self._node.drain(notice.text, self._deadline)
        except Exception as error:  # mostly a DrainError; none of them ends the watch
            self._say("Not drained: %s; trying again.", error)
            return False
        self._done, self._said = True, ""
        logger.warning("Node %s is draining: it takes no new work and leaves when its work is done.", self._node_id)
        return True

    def _find(self) -> None:
        """Before it matters: whether the node can be told from others is better known now than with 30 seconds left."""
        if self._node_id or self._clock() < self._find_at:
            return
        try:
            self._node_id = self._node.find()
        except Exception as error:
            self._find_at = self._clock() + self._find_pause
            self._find_pause = min(2 * self._find_pause, _STRANGER_PAUSE)
            self._say("The node to drain is not known yet: %s.", error)
        else:
            self._said = ""
            logger.info("On a notice node %s will be drained.", self._node_id)

    def _say(self, text: str, error: Exception) -> None:
        if (line := text % one_line(error)) != self._said:
            self._said = line
            logger.warning("%s", line)


def _shown(at: float) -> str:
    return datetime.datetime.fromtimestamp(max(at, 0), datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
