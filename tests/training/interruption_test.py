import signal
import threading

import pytest

from lasem_tf.training.interruption import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_is_only_remembered(number, capfd):
    with StopRequest() as stop:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested

    assert "Stopping after this epoch" in capfd.readouterr().err


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_at_once(first):
    with pytest.raises(KeyboardInterrupt):
        with StopRequest():
            signal.raise_signal(first)
            signal.raise_signal(signal.SIGINT)


def test_the_earlier_handlers_are_put_back():
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]

    with pytest.raises(ZeroDivisionError):
        with StopRequest():
            during = [signal.getsignal(number) for number in numbers]
            raise ZeroDivisionError

    assert [signal.getsignal(number) for number in numbers] == before
    assert not set(during) & set(before)


def test_outside_of_the_main_thread_nothing_changes():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def enter():
        with StopRequest() as stop:
            seen.append((signal.getsignal(signal.SIGINT), stop.requested))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()

    assert seen == [(before, False)]
