import pytest

from patchcore_core.common.errors import InputError, exit_on_input_error


def leave(error):
    with exit_on_input_error():
        raise error


def test_an_error_lists_every_offender_and_the_remedy():
    error = InputError("files are missing", offenders=["a.png", "b.png"], remedy="restore them")
    assert str(error) == "files are missing:\n  - a.png\n  - b.png\nRemedy: restore them"
    assert (error.problem, error.offenders, error.remedy) == ("files are missing", ("a.png", "b.png"), "restore them")
    assert str(InputError("size=0 must be 1 or more")) == "size=0 must be 1 or more"


def test_an_error_can_be_caught_as_a_value_error():
    assert issubclass(InputError, ValueError)


def test_a_command_ends_with_the_error_alone_and_exit_code_1(capsys):
    with pytest.raises(SystemExit) as caught:
        leave(InputError("size=0", remedy="give 1"))
    assert caught.value.code == 1
    assert capsys.readouterr().err == "\nERROR: size=0\nRemedy: give 1\n"


def test_an_interrupted_command_ends_with_exit_code_130(capsys):
    with pytest.raises(SystemExit) as caught:
        leave(KeyboardInterrupt())
    assert caught.value.code == 130
    assert "what was finished is kept" in capsys.readouterr().err


def test_an_error_that_is_not_the_users_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        leave(ZeroDivisionError())


def test_a_command_that_succeeds_goes_on():
    with exit_on_input_error():
        done = True
    assert done
