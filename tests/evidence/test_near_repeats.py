"""Near repeats on the messages of the samples: what mail brings with it must not count, and twins must."""

import csv
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbookopt.evidence.boilerplate import Boilerplate
from runbookopt.evidence.library import Folder, read_evidence, task_id
from runbookopt.evidence.near_repeats import common_subsequence
from runbookopt.evidence.spelling import spelling
from runbookopt.evidence.split import Shares, Split, group_of, part_of, split
from runbookopt.evidence.trajectory import Part, Task

ROOT = Path(__file__).parents[2]
MESSAGES = ROOT / "../shared/data/messages/banking77.csv"
SAMPLES = {"support-triage": Shares(), "refund-reply": Shares(0.30, 0.25)}
NAMES = (
    """
Alice Smith, Bob Jones, Carla Ruiz, Dmitri Orlov, Eva Lund, Farid Khan, Greta Holm, Hugo Blanc, Ines Costa,
Jack Ford, Kim Park, Lena Vogt, Marco Rossi, Nina Berg, Omar Said, Paul Stone, Quinn Reed, Rosa Diaz,
Sam Cole, Tara Nagy, Uma Rao, Victor Hale, Wendy Fox, Xu Wei, Yara Haddad
""".replace("\n", " ")
    .strip()
    .split(", ")
)
SIGNATURES = (
    "Best regards,\n{name}\nSent from my phone",
    "Kind regards\n{name}\nTel. +44 20 7946 0958",
    "Cheers, {name}\nThis mail is confidential. If you received it in error, please delete it at once.",
    "Thanks in advance for your help\n{name}",
    "--\n{name} | 12 High Street, Leeds LS1 4AB | www.example.org",
)
Make = Callable[[int, str], object]
Change = Callable[[str, random.Random], str]


def bare(_: int, text: str) -> str:
    return text


def mail(number: int, text: str, *, signed: bool = False) -> str:
    name = NAMES[number % 25]
    sender = f"{name} <{name.lower().replace(' ', '.')}@mail.example>"
    head = f"From: {sender}\nTo: Help <help@bank.example>\nSubject: A question on my account"
    return f"{head}\n\n{text}" + (f"\n\n{SIGNATURES[number % 5].format(name=name)}" if signed else "")


def signed_mail(number: int, text: str) -> str:
    return mail(number, text, signed=True)


def form(number: int, text: str) -> str:
    """Give the text as a contact form sends it: fixed fields, and numbers of its own."""
    rng = random.Random(number)
    return (
        f"New contact form\nName: {NAMES[number % 25]}\nCustomer number: {rng.randrange(10**7)}\n"
        f"Product: {('Current account', 'Savings', 'Credit card')[number % 3]}\nMessage: {text}\n"
        f"Consent to marketing: {('yes', 'no')[number % 2]}\n"
        f"Submitted at 2026-10-{number % 28 + 1:02d}T10:15:00Z"
    )


def record(number: int, text: str) -> dict[str, object]:
    name = NAMES[number % 25]
    fixed = {"channel": "email", "locale": "en-GB", "product": "current account with overdraft"}
    return {**fixed, "customer": {"name": name, "tier": "gold"}, "message": text}


def quoted(number: int, text: str) -> str:
    return (
        f"{text}\n\nOn {number % 28 + 1} Oct 2026 at 10:{number % 60:02d}, Help <help@bank.example> wrote:\n"
        "> Thank you for your message.\n> Our team will get back to you within two working days."
    )


def words_changed(text: str, rng: random.Random) -> str:
    words = text.split()
    for place in range(rng.randrange(4), len(words), 4):
        words[place] = rng.choice(
            ["really", "quite", "some", "other", "perhaps", "whatever", "person", "again", "moment"]
        )
    return " ".join(words)


def slips(text: str, rng: random.Random) -> str:
    """Give a text in half of whose longer words a letter is lost or two are swapped."""
    words = text.split()
    for place, word in enumerate(words):
        at = rng.randrange(len(word))
        if len(word) > 3 and rng.random() < 0.5:
            lost, swapped = (
                word[:at] + word[at + 1 :],
                word[: at - 1] + word[at - 1 : at + 1][::-1] + word[at + 1 :],
            )
            words[place] = swapped if at and rng.random() < 0.5 else lost
    return " ".join(words)


def turned(text: str, rng: random.Random) -> str:
    words = text.split()
    at = rng.randrange(1, max(2, len(words)))
    return " ".join(words[at:] + words[:at])


def louder(text: str, _: random.Random) -> str:
    return f"{text.upper()}!!"


def longer(text: str, rng: random.Random) -> str:
    more = ("I have been a customer for nine years.", "By the way, the weather here is terrible today.")
    return f"{text} {rng.choice(more)}"


def greeted(text: str, _: random.Random) -> str:
    return f"Hi there, {text} Thanks a lot!"


def messages(name: str) -> list[Task]:
    return list(read_evidence(Folder(ROOT), name).tasks)


def placed(name: str, make: Make, twin: Change | None = None) -> Split:
    """Split a sample's messages, each in its part, as `make` sends them.

    With `twin` each held-out one has one in train: from another customer, and sent by somebody else.
    """
    rng = random.Random(7)
    known = messages(name)
    order = rng.sample(range(len(known)), len(known))
    tasks: dict[str, Task] = {}
    for number, each in zip(order, known, strict=True):
        part = part_of(group_of(each), SAMPLES[name])
        pairs: list[tuple[object, str, Part]] = [(make(number, each.input), group_of(each), part)]
        if twin and part == "held-out":
            changed = twin(each.input, rng)
            pairs += (
                [(make(number + 7, changed), f"twin of {each.id}", "train")] if changed != each.input else []
            )
        for value, group, where in pairs:
            tasks.setdefault(task_id(value), Task(task_id(value), value, group=group, split=where))
    return split(list(tasks.values()), SAMPLES[name])


QUICK = {("support-triage", mail), ("support-triage", signed_mail), ("refund-reply", record)}
TWINS = {("support-triage", words_changed, bare), ("support-triage", slips, mail)}
"""What is tried each time; the rest at night."""


@pytest.mark.parametrize("name", SAMPLES)
def test_no_honest_message_of_the_samples_is_left_out(name: str) -> None:
    assert (found := placed(name, bare)).left_out == ()
    assert len(found.held_out) > 160


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param(name, make, marks=() if (name, make) in QUICK else pytest.mark.nightly)
        for name in SAMPLES
        for make in (mail, signed_mail, form, record, quoted)
    ],
)
def test_what_mail_and_forms_bring_with_them_empties_no_held_out_set(name: str, make: Make) -> None:
    found = placed(name, make)
    assert len(found.held_out) >= 150
    assert len(found.left_out) <= 5
    assert found.boilerplate


@pytest.mark.parametrize(
    ("name", "change", "make"),
    [
        pytest.param(name, change, make, marks=() if (name, change, make) in TWINS else pytest.mark.nightly)
        for name in SAMPLES
        for change in (words_changed, slips, turned, louder, longer, greeted)
        for make in (bare, mail, signed_mail, form, record, quoted)
    ],
)
def test_of_ten_twins_across_the_split_nine_are_found(name: str, change: Change, make: Make) -> None:
    found = placed(name, make, change)
    everywhere = len(found.held_out) + len(found.left_out)
    assert len(found.held_out) <= 0.1 * everywhere


@pytest.mark.nightly
@pytest.mark.skipif(not MESSAGES.exists(), reason="the messages of banking77 are not here")
def test_messages_of_real_people_leave_enough_for_a_proof() -> None:
    with MESSAGES.open(encoding="utf-8") as file:
        texts = sorted({row["text"] for row in csv.DictReader(file)})
    drawn = random.Random(1).sample(texts, 1500)
    found = split([Task(task_id(text), text) for text in drawn], Shares())
    assert len(found.left_out) <= 80  # of at most 280 that were compared
    assert len(found.held_out) == 200


# Small cases ------------------------------------------------------------------------------------------------


def task(value: object, part: Part | None = None, group: str | None = None) -> Task:
    return Task(task_id(value), value, group=group, split=part)


def left_out(used: Sequence[object], asked: Sequence[object]) -> list[bool]:
    """Say of each input whether it is left out, where a search uses others."""
    tasks = [task(value, "train") for value in used] + [task(value, "held-out") for value in asked]
    gone = {left.task for left in split(tasks, Shares()).left_out}
    return [task_id(value) in gone for value in asked]


WORDS = [f"{a}{b}{c}" for a in "bdfgklm" for b in "aeiou" for c in "nrstx"]
BODIES = (
    "my card was swallowed by the machine at the station",
    "how long does a transfer to another country take now",
    "please close the savings account of my late mother",
    "i was charged twice for a hotel in Lisbon last week",
    "the code that you send never arrives on my phone",
    "can my daughter have a card of her own at twelve",
)
NOTICE = "This message was sent by a machine of the city council, do not answer it."


def test_what_three_groups_share_is_boilerplate_where_the_rest_differs() -> None:
    sent = [f"{NOTICE} {body}" for body in BODIES]
    assert left_out(sent[:3], sent[3:]) == [False] * 3
    tasks = [task(text, "train" if number < 3 else "held-out") for number, text in enumerate(sent)]
    notice = "this message was sent by a machine of the city council do not answer it"
    assert split(tasks, Shares()).boilerplate == (Boilerplate(notice, 6),)


def test_what_three_groups_share_is_what_they_say_where_there_is_no_rest() -> None:
    text = "the machine at the corner of the market ate my only card this morning and shows nothing"
    assert left_out([text, f"{text} thanks"], [f"hello {text}", BODIES[0]]) == [True, False]


def test_a_repeat_behind_other_boilerplate_is_one() -> None:
    notices = (NOTICE, "Forwarded by the night desk of the eastern branch, with no warranty of any kind.")
    sent = [f"{notices[number % 2]} {body}" for number, body in enumerate((*BODIES, *BODIES[::-1]))]
    assert left_out(sent[:6], sent[6:]) == [True] * 6


def test_a_text_that_many_others_repeat_is_still_found() -> None:
    rng = random.Random(3)
    others = [" ".join(rng.choices(WORDS, k=12)) for _ in range(1500)]
    copies = [f"{BODIES[0]} {rng.choice(WORDS)} {number % 7}" for number in range(300)]
    assert left_out([*others, *copies[:250]], copies[250:]) == [True] * 50


def test_keys_of_json_are_nobodys_words() -> None:
    keys = ("the request of the customer", "what the customer has tried", "what the bank should do")
    inputs = [dict(zip(keys, (body, f"step {n}", "answer"), strict=True)) for n, body in enumerate(BODIES)]
    assert left_out(inputs[:3], inputs[3:]) == [False] * 3
    again = {**inputs[0], keys[1]: "called twice"}
    assert left_out(inputs[:3], [again]) == [True]


@pytest.mark.parametrize(
    ("one", "other", "repeats"),
    [
        ("the cash machine kept my card and my money", "the cash machine kept my card and my wallet", True),
        ("the cash machine kept my card and my money", "teh csah machnie kept my card nad my mony", True),
        ("where is my parcel", "where is my refund", False),
        ("where is my parcel", "Where is my parcel?!", True),
        ("lost my card", "lost my card yesterday on the train to Leeds", False),
        ("日本 の カード が 届き ません", "日本 の カード が 来 ません", True),
    ],
)
def test_short_texts(one: str, other: str, *, repeats: bool) -> None:
    tasks = [task(text, "train") for text in BODIES] + [task({"a": one}, "train"), task([other], "held-out")]
    assert bool(split(tasks, Shares()).left_out) == repeats


def test_what_comes_after_the_last_that_is_drawn_is_not_compared() -> None:
    rng = random.Random(5)
    texts = [" ".join(rng.choices(WORDS, k=12)) for _ in range(360)]
    twins = [task(f"{text} again", "held-out") for text in texts[:100]]
    fresh = [task(text, "held-out") for text in texts[100:]]
    found = split([*twins, *fresh, *(task(text, "train") for text in texts[:100])], Shares())
    order = sorted([*twins, *fresh], key=lambda each: each.id)
    last = order.index(next(each for each in order if each.id == found.held_out[-1]))
    assert found.held_out == tuple(sorted(each.id for each in fresh)[:200])
    assert {left.task for left in found.left_out} == {each.id for each in order[:last] if each in twins}


def test_near_repeats_that_are_allowed_stay_and_are_named() -> None:
    tasks = [task(BODIES[0], "train"), task(f"{BODIES[0]} again", "held-out"), task("x", "train", "g")]
    again = task("y", "held-out", "g")
    found = split([*tasks, again], Shares(), repeats="allow")
    assert found.held_out == (tasks[1].id,)
    assert [(each.task, each.of) for each in found.near_repeats] == [(tasks[1].id, tasks[0].id)]
    assert found.near_repeats[0].shared == tuple(dict.fromkeys(BODIES[0].split()))
    assert [left.task for left in found.left_out] == [again.id]  # a group is a group


# Properties -------------------------------------------------------------------------------------------------

TEXTS = st.lists(st.sampled_from(WORDS), min_size=8, max_size=20).map(" ".join)


@settings(max_examples=50)
@given(st.lists(TEXTS, min_size=1, max_size=8, unique=True), st.randoms(use_true_random=False), st.data())
def test_no_twin_of_a_used_task_enters_the_proof(texts: list[str], chance: random.Random, data: Any) -> None:  # noqa: ANN401
    used = [task(text, data.draw(st.sampled_from(["train", "validation"]))) for text in texts]
    twins = []
    for text in texts:
        words = text.split()
        words[chance.randrange(len(words))] = "another"
        twins.append(task(" ".join(words), "held-out"))
    found = split([*used, *twins], Shares())
    assert found.held_out == ()


@settings(max_examples=50)
@given(st.lists(TEXTS | st.text(max_size=9), max_size=12, unique=True), st.randoms(use_true_random=False))
def test_the_order_of_tasks_changes_nothing(texts: list[str], chance: random.Random) -> None:
    tasks = [task(text) for text in texts] + [task(f"{text} more", None, "g") for text in texts]
    assert split(tasks, Shares()) == split(chance.sample(tasks, len(tasks)), Shares())


@given(st.lists(st.sampled_from("abcd"), max_size=12), st.lists(st.sampled_from("abcd"), max_size=12))
def test_the_longest_common_subsequence_is_the_textbooks(one: list[str], other: list[str]) -> None:
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for row, a in enumerate(one):
        for column, b in enumerate(other):
            best = max(table[row][column + 1], table[row + 1][column])
            table[row + 1][column + 1] = table[row][column] + 1 if a == b else best
    assert common_subsequence(one, other) == table[-1][-1]


def test_a_slip_of_a_frequent_word_is_that_word() -> None:
    texts = {str(number): ["account", "card", "boots" if number else "books", "4711"] for number in range(9)}
    texts |= {"x": ["acount"], "y": ["crad"], "z": ["4712"], "w": ["banana"]}
    said = spelling(texts, {id_: id_ for id_ in texts})
    assert said == {"acount": "account", "crad": "card", "books": "boots"}


def test_hostile_texts_cost_no_more_than_others() -> None:
    long = ["a b " * 20_000, "a " * 40_000, json.dumps(list(range(20_000)))]
    assert left_out(long, [f"{text} c" for text in long]) == [True] * 3
