@dataclasses.dataclass(frozen=True, slots=True)
class _Target:
    """What governs the cycle: a set-point to follow or a ceiling to keep, in kW of the zone, and for how long."""

    kw: float
    follow: bool
    hard: bool
    reason: Reason
    ask: Ask | None
    end_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Cycle:
    """Everything that one call to `plan` works out before it decides."""

    situation: Situation
    asks: ZoneAsks
    limits: Limits
    needs: Needs
    wish: Wish
    full_kw: Floats
    forced: Bools
    free: Bools
    wanted: Bools
    uncontrolled_kw: float

    @classmethod
    def of(
        cls, view: FleetView, asks: ZoneAsks, now_s: float, settings: PlanSettings, guards: Sequence[Guard]
    ) -> "_Cycle":
        """Needs, limits, wish, and who can be moved."""
        window_end_s = _end_s(asks, now_s)
        situation = Situation(view, needs_of(view, now_s, settings), now_s, window_end_s, settings)
        limits = narrow(situation, guards)
        needs = _needs_asked(situation, asks)
        wish = wish_of(situation, needs, asks, from_s=now_s, recovery_from_s=asks.recovery_from_s)
        full_kw = takes_kw(limits, dataclasses.replace(situation, needs=needs))
        able = limits.touch & (full_kw > 0)
        stuck = situation.charging & ~limits.can_pause
        forced = able & ((limits.must_charge & situation.needs.some) | stuck)
        free = able & ~forced & (limits.can_start | situation.charging)
        wanted = free & ((wish.start_s <= now_s) | _pre_charging(asks))
        present = (view.plugged == 1) & (view.at_home == 1)
        uncontrolled_kw = float(view.power_kw[present & ~limits.touch].sum())
        return cls(situation, asks, limits, needs, wish, full_kw, forced, free, wanted, uncontrolled_kw)

    @property
    def floor_kw(self) -> float:
        """Load that no charging decision can lower."""
        return self.uncontrolled_kw + float(self.full_kw[self.forced].sum())

    @property
    def unrestricted_kw(self) -> float:
        """Load if nothing limited the zone."""
        return self.floor_kw + float(self.full_kw[self.wanted].sum())


def _pre_charging(asks: ZoneAsks) -> bool:
    return asks.ruling is Ruling.ALERT and asks.pre_charge is not None


def _dispatch(asks: ZoneAsks) -> Ask | None:
    return asks.dispatch_kw or asks.relative_kw or asks.relative_share


def _end_s(asks: ZoneAsks, now_s: float) -> float:
    ruling = {Ruling.DISPATCH: _dispatch(asks), Ruling.ALERT: asks.alert or asks.pre_charge, Ruling.SIMPLE: asks.simple}
    ask = ruling.get(asks.ruling) or asks.import_cap_kw
    return now_s if ask is None else ask.end_s


def _needs_asked(situation: Situation, asks: ZoneAsks) -> Needs:
    """The driver's need, and on top of it whatever charge state the grid asks for by an earlier instant."""
    view, needs = situation.view, situation.needs
    usable_kwh = float(np.nansum(view.usable_kwh))
    levels = [(ask.value, ask.end_s) for ask in asks.charge_states]
    levels += [(ask.value / usable_kwh, ask.end_s) for ask in asks.charge_energy_kwh if usable_kwh > 0]
    for share, end_s in levels:
        target = np.fmax(view.target_pct, 100 * min(share, 1.0))
        deadline = np.fmin(view.departure_s, end_s)
        asked = needs_of(view, situation.now_s, situation.settings, target_pct=target, deadline_s=deadline)
        needs = together(needs, asked)
    return needs


def _target(cycle: _Cycle) -> _Target:
    """The ruling ask as a number of kW, inside the capacities, which always bind."""
    target = _ruled(cycle)
    asks = cycle.asks
    if asks.import_cap_kw is not None and target.kw > asks.import_cap_kw.value:
        cap, follow = asks.import_cap_kw, target.follow
        target = _Target(cap.value, follow, True, Reason.IMPORT_CAP, cap, cap.end_s)  # noqa: FBT003 - fields in order
    if asks.export_cap_kw is not None and target.kw < -asks.export_cap_kw.value:
        target = dataclasses.replace(target, kw=-asks.export_cap_kw.value)
    return target


def _ruled(cycle: _Cycle) -> _Target:
    asks, end_s = cycle.asks, _end_s(cycle.asks, cycle.situation.now_s)
    wanted_kw = cycle.unrestricted_kw - cycle.floor_kw
    if asks.ruling is Ruling.DISPATCH and (ask := _dispatch(asks)) is not None:
        relative = {id(asks.relative_kw): 1.0, id(asks.relative_share): cycle.unrestricted_kw}.get(id(ask))
        kw = ask.value if relative is None else cycle.unrestricted_kw + ask.value * relative
        return _Target(kw, True, False, Reason.SET_POINT, ask, end_s)  # noqa: FBT003 - fields in order
    for ruling, level, reason in (
        (Ruling.ALERT, asks.alert, Reason.ALERT),
        (Ruling.SIMPLE, asks.simple, Reason.SIMPLE_LEVEL),
    ):
        if asks.ruling is ruling and level is not None and level.value > 0:
            ceiling_kw = cycle.floor_kw + LEVEL_SHARE[int(level.value)] * wanted_kw
            return _Target(ceiling_kw, False, False, reason, level, end_s)  # noqa: FBT003 - fields in order
    return _Target(math.inf, False, False, Reason.NONE, None, end_s)  # noqa: FBT003 - fields in order