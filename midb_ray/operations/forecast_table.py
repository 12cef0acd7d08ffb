"""A forecast as a person reads it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from midb_ray.operations.estimates import Estimate
from midb_ray.operations.forecast import Amounts, Forecast
from midb_ray.operations.forecast_pool import Offer
from midb_ray.operations.forecast_settings import PlanSettings
from midb_ray.operations.prices import MARKETS, Market


def show(console: Console, settings: PlanSettings, found: Forecast) -> None:
    """Print the forecast."""
    unit = "tokens" if found.counted else "characters"
    exactly = "" if found.rows_are_counted else "about "
    seen = "all of them" if found.share_seen >= 1 else f"{found.share_seen:.1%} of them, from all over,"
    console.print(
        f"The input has {exactly}{found.rows:,.0f} rows; {seen} were looked at. ± is half of a 90 % interval."
    )
    console.print(_amounts(found, unit))
    pace = found.pace
    total = found.total.engine_hours
    of = "requests" if pace.unit == "requests" else pace.unit
    rate = 1 / pace.seconds.value if pace.seconds.value else 0.0
    console.print(
        f"Engines: {_hours(total)} {_margin(total)} of work at {rate:,.1f} {of}/s each, busy for {pace.busy:.0%} of the "
        f"pilot. A start takes {_hours(Estimate(pace.fixed / 3600))} beside that.",
        highlight=False,
    )
    console.print(f"Pool of {found.replicas}: up for {_interval(found.hours)}.", highlight=False)
    if found.served is not None:
        console.print(f"The server asks {found.served.value:,.2f} {_margin(found.served)}, as it did for the pilot.")
    if found.offers:
        console.print(_offers(found.offers, found, f"A pool of {found.replicas}"))
        boot, idle = found.prices.boot_minutes, found.prices.idle_minutes
        console.print(
            f"In the cost of each node: {boot:g} min until it is up, and {idle:g} min idle after the last shard (idle_minutes), "
            "which `ray down` saves. Machines and markets without a cluster file are offers: put them into one first.",
            highlight=False,
        )
    for name, fit in found.fits.items():
        if fit.verdict == "too small":
            console.print(f"{name} is too small: {fit.words}.", highlight=False, soft_wrap=True)
    unknown = {fit.words for fit in found.fits.values() if fit.verdict == "unknown"}
    for words in sorted(unknown):
        console.print(f"Memory was not checked: {words}.", highlight=False, soft_wrap=True)
    if not found.fits:
        console.print("The table of prices has no machine for such replicas.")
    if settings.deadline is not None or settings.budget is not None:
        _show_choice(console, settings, found)
    if found.prices.source:
        console.print(f"Prices: {found.prices.date}; {found.prices.source}", style="dim", highlight=False)
    for note in found.notes:
        console.print(f"Note: {note}", highlight=False)


def _amounts(found: Forecast, unit: str) -> Table:
    table = Table(box=None, padding=(0, 1))
    for name in (
        "language",
        "pairs",
        "skipped",
        "repeated",
        f"prompt {unit}",
        f"answer {unit}",
        "generated",
        "engine time",
    ):
        table.add_column(name, justify="left" if name == "language" else "right")
    for language, amounts in sorted(found.languages.items(), key=lambda one: -one[1].pairs.value):
        table.add_row(language, *_cells(amounts))
    table.add_section()
    table.add_row("all", *_cells(found.total), style="bold")
    return table


def _cells(amounts: Amounts) -> Iterable[str]:
    for one in (amounts.pairs, amounts.skipped, amounts.repeated, amounts.prompt, amounts.answer, amounts.generated):
        yield f"{one.value:,.0f} {_margin(one)}".rstrip()
    yield f"{_hours(amounts.engine_hours)} {_margin(amounts.engine_hours)}".rstrip()


def _offers(offers: list[Offer], found: Forecast, title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    for name in (
        "machine",
        "replicas",
        "nodes",
        "up for",
        *(f"{_name(market)} {found.prices.currency}" for market in MARKETS),
    ):
        first = name == "machine"  # a name that is cut is no use to --machine
        table.add_column(name, justify="left" if first else "right", no_wrap=first)
    table.add_column("memory")
    table.add_column("cluster file")
    for one in offers:
        costs = [_money(one.cost[market]) if market in one.cost else "–" for market in MARKETS]
        table.add_row(
            *(one.machine, f"{one.replicas:,}", f"{one.nodes:,}", _interval(one.hours), *costs),
            *(one.fit.verdict, _cluster(one)),
        )
    return table


def _show_choice(console: Console, settings: PlanSettings, found: Forecast) -> None:
    bounds = [f"{settings.deadline:g} h"] if settings.deadline is not None else []
    bounds += [f"{settings.budget:,.2f} {found.prices.currency}"] if settings.budget is not None else []
    told = " and ".join(bounds)
    if found.choice is None:
        console.print(f"No pool of these machines keeps within {told}, at the upper end of its interval.", style="bold")
        return
    console.print(_offers(found.kept, found, f"Within {told}, at the upper end of the interval"))
    market, cost = found.choice.cheapest
    console.print(
        f"Take {found.choice.replicas:,} replicas on {found.choice.nodes:,} x {found.choice.machine} ({_name(market)}): "
        f"{_interval(found.choice.hours)}, {_money(cost)} {found.prices.currency}; pool.replicas {found.choice.replicas}, "
        f"{_start(found.choice, market)}.",
        style="bold",
        highlight=False,
    )


def _cluster(one: Offer) -> str:
    if one.cluster is None:
        return "–"
    priced = "" if one.cluster.market in one.cost else ", no price"
    return f"{one.cluster.file}: {one.cluster.max_workers} {_name(one.cluster.market)}{priced}"


def _start(one: Offer, market: Market) -> str:
    """What starts these machines."""
    cluster = one.started_by(market)
    if cluster is None:
        other = "" if one.cluster is None else f" ({one.cluster.file} has them {_asked(one.cluster.market)})"
        return f"no cluster file has such machines {_asked(market)}{other}: put them into one first"
    if one.nodes <= cluster.max_workers:
        return cluster.file
    more = one.nodes - cluster.max_workers
    return f"{cluster.file}: raise max_workers of {cluster.node_type} to {one.nodes} there, and that of the whole file by {more}"


def _asked(market: Market) -> str:
    return "as spot capacity" if market == "spot" else "on demand"


def _name(market: Market) -> str:
    return market.replace("_", "-")


def _margin(one: Estimate) -> str:
    if not one.error or not one.value:
        return ""
    return f"±{(one.high - one.value) / one.value:.1%}"


def _interval(one: Estimate) -> str:
    return f"{_hours(one)} ({_hours(Estimate(one.low))} to {_hours(Estimate(one.high))})"


def _hours(one: Estimate) -> str:
    seconds = one.value * 3600
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{one.value:,.1f} h" if one.value >= 2 else f"{seconds / 60:,.0f} min"


def _money(one: Estimate) -> str:
    return f"{one.value:,.2f} ({one.low:,.2f} to {one.high:,.2f})"
