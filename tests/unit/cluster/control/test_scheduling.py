"""Admission, shares and moves: guarantees, proportion, and no going to and fro."""

from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from cluster.control.job_needs import JobPulse, derive_needs
from cluster.control.scheduling import (
    HYSTERESIS,
    PASSES,
    JobNeed,
    Placed,
    admit,
    derive_quotas,
    derive_value,
    explain_waiting,
    plan_moves,
    queue,
    share_miners,
)
from cluster.views import JobView


def running(job: str, value: int, *, least: int = 1, most: int = 64, arrival: int = 0, **more: bool) -> JobNeed:
    return JobNeed(job=job, arrival=arrival, value=value, least=least, most=most, is_running=True, **more)


def queued(job: str, value: int, *, least: int = 1, arrival: int = 0, passed: int = 0) -> JobNeed:
    return JobNeed(job=job, arrival=arrival, value=value, least=least, passed=passed)


@st.composite
def running_jobs(draw: st.DrawFn) -> list[JobNeed]:
    count = draw(st.integers(0, 6))
    jobs = []
    for arrival in range(count):
        least = draw(st.integers(1, 5))
        jobs.append(
            running(
                f"job-{arrival}",
                draw(st.integers(0, 10_000)),
                least=least,
                most=draw(st.integers(least, 20)),
                arrival=arrival,
                has_trained=draw(st.booleans()),
            )
        )
    return jobs


# value


def test_value_is_pay_by_a_second_of_a_miners_work() -> None:
    assert derive_value(reward=12_000_000, rounds=10, slots=4, slot_s=0.1) == 3_000_000
    assert derive_value(reward=12_000_000, rounds=10, slots=4, slot_s=0.3) == 1_000_000
    assert derive_value(reward=0, rounds=10, slots=4, slot_s=0.3) == 0


def test_a_job_that_ran_no_slot_is_taken_to_be_as_fast_as_the_others() -> None:
    jobs = [view("a", "running", reward="8"), view("b", "queued", reward="8")]
    known, new = derive_needs(jobs, {"a": JobPulse(slot_s=0.5, is_ready=True)})
    assert known.value == new.value == 4_000_000


def test_a_job_takes_no_more_miners_than_it_has_slots() -> None:
    (need,) = derive_needs([view("a", "running", slots=4)], {})
    assert (need.least, need.most) == (1, 4)
    (need,) = derive_needs([view("a", "running", slots=4, miners_min=6)], {})
    assert (need.least, need.most) == (6, 6)


# shares


def test_two_jobs_share_in_proportion_to_their_value() -> None:
    assert share_miners([running("a", 3), running("b", 1)], 4, {"a": 4}) == {"a": 3, "b": 1}
    assert share_miners([running("a", 1), running("b", 1)], 4, {}) == {"a": 2, "b": 2}
    assert share_miners([running("a", 5), running("b", 2), running("c", 1)], 8, {}) == {"a": 5, "b": 2, "c": 1}


def test_the_largest_remainder_is_rounded_up() -> None:
    assert share_miners([running("a", 60), running("b", 25), running("c", 15)], 5, {}) == {"a": 3, "b": 1, "c": 1}
    assert share_miners([running("a", 70), running("b", 30)], 9, {}) == {"a": 6, "b": 3}


def test_minimum_and_maximum_come_before_value() -> None:
    assert share_miners([running("a", 1000), running("b", 1, least=2)], 4, {}) == {"a": 2, "b": 2}
    assert share_miners([running("a", 1000, most=2), running("b", 1)], 6, {}) == {"a": 2, "b": 4}


def test_jobs_that_pay_nothing_share_what_the_others_cannot_use() -> None:
    jobs = [running("a", 1000, most=2), running("b", 0), running("c", 0)]
    assert share_miners(jobs, 6, {}) == {"a": 2, "b": 2, "c": 2}


def test_minimums_that_do_not_all_fit_go_by_arrival() -> None:
    jobs = [running("a", 1, least=3, arrival=0), running("b", 9, least=3, arrival=1)]
    assert share_miners(jobs, 4, {}) == {"a": 4, "b": 0}


def test_a_job_that_has_trained_goes_on_with_fewer_than_its_minimum() -> None:
    assert share_miners([running("a", 1, least=3, has_trained=True)], 2, {}) == {"a": 2}
    assert share_miners([running("a", 1, least=3)], 2, {}) == {"a": 0}


def test_a_job_that_waits_for_audits_gets_nobody() -> None:
    jobs = [running("a", 9, has_work=False), running("b", 1)]
    assert share_miners(jobs, 4, {"a": 4}) == {"b": 4}


def test_a_small_change_of_value_moves_nobody() -> None:
    current = {"a": 2, "b": 2}
    assert share_miners([running("a", 100), running("b", 80)], 4, current) == current
    assert share_miners([running("a", 171), running("b", 100)], 4, current) == current  # 2.52 of 4
    assert share_miners([running("a", 300), running("b", 100)], 4, current) == {"a": 3, "b": 1}


@given(running_jobs(), st.integers(0, 40))
def test_shares_keep_every_bound_and_waste_nobody(jobs: list[JobNeed], miners: int) -> None:
    shares = share_miners(jobs, miners, {})
    assert set(shares) == {job.job for job in jobs}
    assert all(0 <= shares[job.job] <= job.most for job in jobs)
    if sum(job.least for job in jobs) <= miners:
        assert all(shares[job.job] >= job.least for job in jobs)
        assert sum(shares.values()) == min(miners, sum(job.most for job in jobs))
    assert sum(shares.values()) <= miners
    assert all(shares[job.job] >= job.least or job.has_trained or not shares[job.job] for job in jobs)


@given(running_jobs(), st.integers(0, 40), st.randoms())
def test_the_order_of_the_list_does_not_matter(jobs: list[JobNeed], miners: int, random: "st.Random") -> None:
    shuffled = list(jobs)
    random.shuffle(shuffled)
    assert share_miners(shuffled, miners, {}) == share_miners(jobs, miners, {})


@given(
    running_jobs(),
    st.integers(0, 40),
    st.dictionaries(st.sampled_from([f"job-{i}" for i in range(6)]), st.integers(0, 20)),
)
def test_a_plan_that_was_carried_out_stands(jobs: list[JobNeed], miners: int, current: dict[str, int]) -> None:
    shares = share_miners(jobs, miners, current)
    assert share_miners(jobs, miners, shares) == shares


@given(running_jobs(), st.integers(0, 40), st.data())
def test_one_miner_more_or_less_moves_few(jobs: list[JobNeed], miners: int, data: st.DataObject) -> None:
    """Beyond the one that came, nobody moves unless that is clearly nearer to the proportion."""
    assume(jobs and sum(job.least for job in jobs) <= miners)
    before = share_miners(jobs, miners, {})
    after = share_miners(jobs, miners + 1, before)
    moved = sum(max(0, before[job] - after[job]) for job in before)
    assert moved <= len(jobs) // 2


@given(running_jobs(), st.integers(0, 40))
def test_shares_are_within_a_miner_of_the_proportion(jobs: list[JobNeed], miners: int) -> None:
    assume(jobs and sum(job.least for job in jobs) <= miners)
    bounds = {job.job: (job.least, job.most) for job in jobs}
    total = min(miners, sum(job.most for job in jobs))
    quotas = derive_quotas(bounds, {job.job: max(1, job.value) for job in jobs}, total)
    assert sum(quotas.values()) == total
    shares = share_miners(jobs, miners, {})
    assert all(abs(shares[job] - quota) < 1 for job, quota in quotas.items())
    free = [job for job in jobs if bounds[job.job][0] < quotas[job.job] < bounds[job.job][1]]
    prices = {quotas[job.job] / max(1, job.value) for job in free}
    assert len(prices) <= 1, "jobs that are at no bound share exactly in proportion"


@given(st.integers(2, 40), st.integers(1, 1000), st.integers(1, 1000), st.integers(-3, 3))
def test_values_that_waver_do_not_make_miners_flap(miners: int, first: int, second: int, waver: int) -> None:
    """Whatever came before, two values that take turns and lie close together end in one plan."""
    one = [running("a", first), running("b", second)]
    other = [running("a", max(1, first + waver)), running("b", second)]
    quota = Fraction(first * miners, first + second)
    moved = abs(quota - Fraction(max(1, first + waver) * miners, max(1, first + waver) + second))
    assume(4 * moved < HYSTERESIS)
    plan = share_miners(one, miners, {})
    for turn in (other, one) * 3:
        settled = plan
        plan = share_miners(turn, miners, plan)
    assert plan == settled


# admission


def test_a_queued_job_starts_when_its_minimum_fits() -> None:
    jobs = [running("a", 5, least=2), queued("b", 1, least=2, arrival=1)]
    assert admit(jobs, 3) == ()
    assert admit(jobs, 4) == ("b",)


def test_the_more_valuable_goes_first_and_a_smaller_one_may_pass() -> None:
    jobs = [queued("a", 1), queued("b", 9, arrival=1), queued("c", 99, least=3, arrival=2)]
    assert [need.job for need in queue(jobs)] == ["c", "b", "a"]
    assert admit(jobs, 1) == ("b",)


def test_no_miners_no_start() -> None:
    assert admit([queued("a", 1)], 0) == ()


def test_one_that_was_passed_too_often_is_passed_no_more() -> None:
    patient = queued("a", 1, least=2, passed=PASSES)
    small = queued("b", 99, arrival=1)
    assert admit([running("x", 5, arrival=9), patient, small], 2) == ()
    assert admit([patient, small], 2) == ("a",)


def test_one_that_asks_for_more_than_there_is_holds_up_nobody() -> None:
    jobs = [queued("a", 99, least=9, passed=PASSES), queued("b", 1, arrival=1)]
    assert admit(jobs, 4) == ("b",)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 1000), st.integers(1, 3)), min_size=1, max_size=25))
def test_waiting_is_bounded(coming: list[tuple[int, int, int]]) -> None:
    """Jobs come one a turn, each more valuable than all before; every one starts, passed by at most `PASSES` later ones
    beside those that start with it in one turn."""
    miners = 4
    left: dict[int, int] = {}
    started: list[int] = []
    waiting: list[int] = []
    turns = 0
    while len(started) < len(coming):
        if turns < len(coming):
            waiting.append(turns)
        left = {job: rounds - 1 for job, rounds in left.items() if rounds > 1}
        needs = [_need_of(job, coming, is_running=True, started=started) for job in left]
        needs += [_need_of(job, coming, is_running=False, started=started) for job in waiting]
        for name in admit(needs, miners):
            job = int(name)
            waiting.remove(job)
            started.append(job)
            left[job] = coming[job][2]
        turns += 1
        assert turns < 5 * len(coming) + 10, "a job waits without end"
    for place, job in enumerate(started):
        assert sum(1 for other in started[:place] if other > job) < PASSES + miners


def _need_of(job: int, coming: list[tuple[int, int, int]], *, is_running: bool, started: list[int]) -> JobNeed:
    least, value, _ = coming[job]
    passed = sum(1 for other in started if other > job)
    return JobNeed(
        job=str(job), arrival=job, least=least, value=value + 1000 * job, is_running=is_running, passed=passed
    )


def test_passes_are_counted_from_the_jobs_themselves() -> None:
    jobs = [
        view("a", "queued"),
        view("b", "completed"),
        view("c", "running"),
        view("d", "cancelled"),
        view("e", "queued"),
    ]
    first = derive_needs(jobs, {})[0]
    assert (first.job, first.passed) == ("a", 2)


# words


def test_reasons_say_place_and_what_is_missing() -> None:
    jobs = [running("x", 5, least=3), queued("a", 2_000_000, least=2, arrival=1), queued("b", 1, least=9, arrival=2)]
    names = {"x": "long", "a": "a", "b": "b"}
    said = explain_waiting(jobs[1], jobs, 4, names)
    assert (
        said
        == "number 1 of 1 in the queue, worth 2 credits a second: needs 2 miners, 1 of 4 are not promised to long (3)"
    )
    assert explain_waiting(jobs[2], jobs, 4, names) == "needs 9 miners, the site has 4: start more with 'pouw scale 9'"
    assert explain_waiting(jobs[1], jobs, 5, names) == "is being started"
    kept = [running("x", 5, least=1), queued("a", 1, least=2, passed=PASSES), queued("b", 9, arrival=1)]
    assert explain_waiting(kept[2], kept, 2, names).endswith("a goes first")


# moves


def test_miners_leave_where_there_are_too_many_and_join_where_too_few() -> None:
    miners = [Placed(name="miner-0", job="a", held=2), Placed(name="miner-1", job="a"), Placed(name="miner-2")]
    moves = plan_moves(miners, {"a": 1, "b": 2})
    assert moves.leave == ("miner-1",)
    assert moves.join == (("miner-2", "b"),)


def test_a_job_without_a_share_lets_its_miners_go() -> None:
    moves = plan_moves([Placed(name="miner-0", job="old")], {"b": 1})
    assert (moves.leave, moves.join) == (("miner-0",), ())


@given(
    st.dictionaries(st.integers(0, 30), st.sampled_from([None, "a", "b", "c"])), st.integers(0, 9), st.integers(0, 9)
)
def test_moves_lead_to_the_shares(where: dict[int, str | None], first: int, second: int) -> None:
    shares = {"a": min(first, len(where)), "b": min(second, max(0, len(where) - first))}
    places = {f"miner-{number}": job for number, job in where.items()}
    for _ in range(2):
        moves = plan_moves([Placed(name=name, job=job) for name, job in places.items()], shares)
        places.update(dict.fromkeys(moves.leave))
        places.update(dict(moves.join))
    assert {job: list(places.values()).count(job) for job in shares} == shares
    assert plan_moves([Placed(name=name, job=job) for name, job in places.items()], shares) == plan_moves([], {})


def view(job: str, state: str, **more: object) -> JobView:
    fields: dict[str, object] = {
        "job_id": job,
        "name": job,
        "state": state,
        "round": 0,
        "rounds": 1,
        "slots": 4,
        **more,
    }
    return JobView(**fields)
