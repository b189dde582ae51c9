"""What sockets ask of the hub is read once for all that ask meanwhile."""

import asyncio

import pytest

from safety.hub import Questions


async def asked(questions, *what):
    answering = asyncio.create_task(questions.answer())
    try:
        async with asyncio.timeout(5):
            return await asyncio.gather(*(questions.ask(each) for each in what))
    finally:
        answering.cancel()


async def test_many_who_ask_together_are_answered_by_one_reading():
    readings = []

    async def read(batch):
        readings.append(set(batch))
        return {each: each * 10 for each in batch}

    assert await asked(Questions(read), 1, 2, 2, 3) == [10, 20, 20, 30]
    assert readings == [{1, 2, 3}]


async def test_who_asks_during_a_reading_is_answered_by_the_next():
    readings, begun = [], asyncio.Event()

    async def read(batch):
        readings.append(set(batch))
        begun.set()
        await asyncio.sleep(0.01)
        return {each: each for each in batch}

    questions = Questions(read)

    async def late():
        await begun.wait()
        return await questions.ask(2)

    answering = asyncio.create_task(questions.answer())
    assert await asyncio.gather(questions.ask(1), late()) == [1, 2]
    assert readings == [{1}, {2}]
    answering.cancel()


async def test_question_that_a_fault_left_unanswered_is_asked_again():
    tries = []

    async def read(batch):
        tries.append(set(batch))
        if len(tries) == 1:
            raise OSError("gone for a moment")
        return {each: True for each in batch}

    questions = Questions(read)
    asking = asyncio.create_task(questions.ask("may I?"))
    with pytest.raises(OSError):
        await questions.answer()
    answering = asyncio.create_task(questions.answer())
    assert await asyncio.wait_for(asking, 5)
    assert tries == [{"may I?"}, {"may I?"}]
    answering.cancel()
