"""Problems: what a door answers when it will not do a thing (RFC 9457), one family for the web and for push.

A Problem carries a stable English code for programs and a Chinese sentence for people. The same object leaves as
`application/problem+json` at the web's doors (safety/handlers.py) and sits in the verdict of a pushed operation.
"""

BUSY_SECONDS = 5  # phones that wait add a random part of their own, or they would all be back at once


class Problem(Exception):
    """A refusal that a person can act on. Subclasses set code, status and message; `more` become members."""

    code = "refused"
    status = 422
    message = "这件事现在不能做。"
    retryable = False

    def __init__(self, code: str | None = None, message: str | None = None, **more):
        self.code = code or self.code
        self.detail = (message or self.message).format(**more)
        self.more = more
        super().__init__(self.code)

    def as_json(self) -> dict:
        """The members of RFC 9457 and our own; values are JSON's."""
        return {
            "type": f"/problems/{self.code}",
            "title": self.code,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "retryable": self.retryable,
            **self.more,
        }


class Malformed(Problem):
    code, status, message = "malformed", 400, "内容读不懂:{reason}"


class Invalid(Problem):
    """A rule on values says no; `errors` is a list of {field, code}."""

    code, status, message = "validation", 422, "有内容不符合要求,请改正后再提交。"


class NotAllowed(Problem):
    """Seen, but not yours to do."""

    code, status, message = "not-allowed", 403, "您可以查看,但这件事不由您办理。"


class NotFound(Problem):
    """Unknown or not visible: the answer is the same to the byte."""

    code, status, message = "not-found", 404, "没有找到,或不在您的范围内。"


class Stale(Problem):
    code, status, message = "stale", 409, "内容已更新到第 {current} 版,请看过最新材料再定。"


class IdTaken(Problem):
    code, status, message = "id-taken", 409, "这个编号已经用过,请让手机换一个编号再报。"


class TooLarge(Problem):
    code, status, message = "too-large", 413, "内容太大:最多 {max_bytes} 字节。"


class UnsupportedMedia(Problem):
    code, status, message = "unsupported-media", 415, "不支持这种文件。"


class Unauthenticated(Problem):
    code, status, message = "unauthenticated", 401, "请先登录。"


class Busy(Problem):
    """The database was busy beyond patience; nothing was kept, the same request may be sent again."""

    code, status, message, retryable = "busy", 503, "服务器正忙,内容没有保存,请稍后重试。", True

    def __init__(self, **more):
        super().__init__(**{"retry_after": BUSY_SECONDS, **more})


class SlowDown(Problem):
    code, status, message, retryable = "slow-down", 429, "请求太频繁,请在 {retry_after} 秒后再试。", True


class MethodNotAllowed(Problem):
    code, status, message = "method-not-allowed", 405, "这个地址不接受这种请求。"


class ServerError(Problem):
    code, status, message, retryable = (
        "server-error",
        500,
        "服务器出了问题,已记录。手机上的内容仍在本机,请稍后重试。",
        True,
    )
