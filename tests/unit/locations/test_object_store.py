"""What goes wrong with an object store is said in one sentence, and no credential in it."""

import pytest

from wsi_patches.errors import MissingExtra
from wsi_patches.locations import path_of
from wsi_patches.locations.object_store import ask, forget_connection


@pytest.fixture
def fresh(monkeypatch, s3_server):
    """The environment may be changed, and is looked at anew."""
    forget_connection()
    yield monkeypatch
    monkeypatch.undo()
    forget_connection()


def test_absent_credentials_are_named(fresh, s3_bucket, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        fresh.delenv(name)
    fresh.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fresh.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    fresh.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(PermissionError, match="no credentials were found: set AWS_ACCESS_KEY_ID"):
        (s3_bucket / "f").read_bytes()


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"])
def test_a_refusal_is_no_word_of_the_librarys(s3_bucket, code):
    from botocore.exceptions import ClientError
    from s3fs.errors import translate_boto_error

    def act(_store):
        message = "the key AKIAHUSH was not valid"
        raise translate_boto_error(ClientError({"Error": {"Code": code, "Message": message}}, "GetObject"))

    with pytest.raises(PermissionError, match=f"{s3_bucket}: access was refused .{code}.: check your cred") as caught:
        ask(str(s3_bucket), act)
    assert "AKIAHUSH" not in str(caught.value)


@pytest.mark.parametrize("code", ["SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "503"])
def test_a_store_with_too_much_to_do_is_asked_again(s3_bucket, monkeypatch, code):
    from botocore.exceptions import ClientError
    from s3fs.errors import translate_boto_error

    monkeypatch.setattr("wsi_patches.locations.patience.FIRST_PAUSE_S", 0.01)
    answers = []

    def act(_store):
        answers.append(code)
        if len(answers) < 4:
            raise translate_boto_error(ClientError({"Error": {"Code": code, "Message": ""}}, "GetObject"))
        return "done"

    assert ask(str(s3_bucket), act) == "done"


def test_a_bug_of_ours_is_no_refusal(s3_bucket):
    with pytest.raises(ZeroDivisionError):
        ask(str(s3_bucket), lambda _: 1 // 0)


def test_the_missing_library_is_named(monkeypatch):
    forget_connection()
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(MissingExtra, match=r"pip install 'wsi-patches\[s3\]'"):
        path_of("s3://bucket/key")
    forget_connection()
