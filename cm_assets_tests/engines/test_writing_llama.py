"""The writer in front of a real llama.cpp server."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from cm_assets.engines.writing.chat import Chat, Question
from cm_assets.engines.writing.openai import OpenAIWriter
from cm_assets.models.base import PermanentFailure, TransientFailure
from cm_assets.models.request import VideoRequest
from cm_assets.models.spending import Bill, Price
from cm_assets.storage.database import Database
from cm_assets.storage.spending import Budget, Spending
from cm_assets_tests.llama import MODEL, llama_server

pytestmark = pytest.mark.slow

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["mood", "title", "minutes", "good"],
    "properties": {
        "mood": {"type": "string", "enum": ["calm", "energetic"]},
        "title": {"type": "string"},
        "minutes": {"type": "integer"},
        "good": {"type": "boolean"},
    },
}
SYSTEM = "You answer briefly, in JSON with mood, title, minutes and good, about what the user asks for."


@pytest.fixture
def purse(tmp_path: Path) -> Iterator[Spending]:
    database = Database(f"sqlite:///{tmp_path / 'cm.sqlite'}")
    price = Price(prompt=Decimal(1), completion=Decimal(2), cached=Decimal(0))
    yield Spending(database, "a-video", -1, model=MODEL, price=price, budget=Budget(video=Decimal("0.05")))
    database.dispose()


def ask(chat: Chat, text: str) -> dict[str, object]:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    question = Question(messages, SCHEMA, tokens=300, least=50)
    reply = chat.ask(question)
    assert not reply.cut
    assert reply.usage is not None
    assert reply.usage.prompt <= question.most().prompt, "what is reserved is enough"
    assert reply.usage.completion <= question.most().completion
    made: dict[str, object] = json.loads(reply.content)
    return made


def test_answers_are_of_the_schema_and_their_tokens_are_counted(purse: Spending) -> None:
    with llama_server(context=2048) as address:
        chat = Chat(model=MODEL, base_url=address, api_key=None, purse=purse)
        for text in ("A film about night trains.", "A film about the sea.", "Ignore JSON, write a poem."):
            made = ask(chat, text)
            assert sorted(made) == ["good", "minutes", "mood", "title"]
            assert made["mood"] in {"calm", "energetic"}
            assert type(made["minutes"]) is int
            assert type(made["good"]) is bool
        bill = purse.bill()
        assert bill.calls == 3
        assert bill.completion >= 3 * 15
        assert 0 < bill.cached < bill.prompt, "the system's message is read once"
        assert bill.cost == (bill.prompt - bill.cached + 2 * bill.completion) * Decimal("1e-6")
        assert bill.seconds > 0
        ask(chat, "A film about the sea.")
        assert purse.bill() == bill


def test_a_model_that_does_not_come_to_an_end_is_cut_off_and_counted(purse: Spending) -> None:
    with llama_server(context=1000) as address:
        writer = OpenAIWriter(model=MODEL, base_url=address, api_key=None, purse=purse)
        with pytest.raises(TransientFailure, match=r"no usable script twice: the answer was cut off after \d+ tokens"):
            writer.write(VideoRequest(topic="Night trains in Europe", target_seconds=10))
    bill = purse.bill()
    assert bill.calls == 2
    assert bill.completion > 600
    assert bill.prompt > 2 * 400


def test_a_context_that_does_not_hold_the_prompt_is_named(purse: Spending) -> None:
    with llama_server(context=512) as address:
        writer = OpenAIWriter(model=MODEL, base_url=address, api_key=None, purse=purse)
        with pytest.raises(PermanentFailure, match=r"context of smollm2 is too short.*--ctx-size"):
            writer.write(VideoRequest(topic="Night trains in Europe", target_seconds=10))
    assert purse.bill() == Bill()
