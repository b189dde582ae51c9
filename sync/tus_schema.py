"""How the door of uploads stands in the API's schema: it lies beside Django, so no generator of Django's finds it."""

from base64 import b64encode
from typing import Any

from safety.openapi import SCHEMAS, SECURITY
from safety.schema import PROBLEM, REFUSALS
from sync.tus import CHUNK_TYPE, EXTENSIONS, PREFIX, VERSION

TAG = "照片 Photos"
SHA256 = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"
UPLOAD = f"http://127.0.0.1:8000{PREFIX}/01955f2e-7c1a-7b35-9f10-2b6d7d1f4c11"
WORDS = REFUSALS | {
    408: "15 秒没有数据；收到的已保存",
    409: "位置不对，Upload-Offset 说明已有多少；或分段没有传完",
    410: "照片按规定已销毁，不再接收",
    412: "不是 tus 1.0.0",
    423: "另一个连接正在上传，过几秒再试",
    460: "校验不符：这一段没有保存；或整个文件不符，从 0 重传，地址不变",
    507: "存储空间不足，请稍后",
}
INTEGER, TEXT = {"type": "integer", "minimum": 0}, {"type": "string"}
OFFSET = {"Upload-Offset": {"description": "服务器上已有的字节数", "schema": INTEGER}}
EXPIRES = {"Upload-Expires": {"description": "没有传完的，到此时作废；每收到数据顺延 14 天", "schema": TEXT}}


def _header(name: str, note: str, *, schema: dict = TEXT, example: Any = None, required: bool = False) -> dict:
    told = {"in": "header", "name": name, "description": note, "schema": schema, "required": required}
    return told if example is None else told | {"example": example}


def _refused(*statuses: int) -> dict:
    content = {PROBLEM: {"schema": {"$ref": f"{SCHEMAS}Problem"}}}
    return {str(status): {"description": WORDS[status], "content": content} for status in statuses}


def _door(name: str, title: str, note: str, parameters: list, responses: dict, *, chunk: bool = False) -> dict:
    version = _header("Tus-Resumable", "协议的版本", example=VERSION, required=True)
    door = {
        "operationId": name,
        "tags": [TAG],
        "summary": f"断点续传 · {title}",
        "description": note,
        "security": SECURITY,
        "parameters": [version, *parameters],
        "responses": responses,
    }
    if chunk:
        body = {"schema": {"type": "string", "format": "binary"}}
        door["requestBody"] = {"required": False, "content": {CHUNK_TYPE: body}}
    return door


CHECKSUM = _header(
    "Upload-Checksum", "sha1 或 sha256，空格，Base64；不符的一段整段不收", example="sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="
)
ID = {"in": "path", "name": "upload_id", "required": True, "schema": {"type": "string", "format": "uuid"}}

COLLECTION = {
    "options": _door(
        "files_options",
        "能力",
        f"tus {VERSION}：{EXTENSIONS.replace(',', '、')}。不需登录。",
        [],
        {"204": {"description": "Tus-Version、Tus-Extension、Tus-Max-Size、Tus-Checksum-Algorithm"}},
    )
    | {"security": [], "parameters": []},
    "post": _door(
        "files_create",
        "开始",
        "得到上传地址。您已传过或看得到的照片立即算传完（Upload-Offset 等于 Upload-Length）；本机开始过的接着原来的传。"
        f"Content-Type 为 {CHUNK_TYPE} 时可以带上第一段。",
        [
            _header("Upload-Length", "整个文件的字节数；合并分段时不给", schema=INTEGER, example=204800),
            _header(
                "Upload-Metadata",
                "tus 的写法：名 Base64(值)，逗号隔开。sha256 必给：整个文件的 SHA-256，64 位十六进制；"
                "filetype、filename、photo_id 可给。",
                example=f"sha256 {b64encode(SHA256.encode()).decode()},filetype {b64encode(b'image/jpeg').decode()}",
            ),
            _header("Upload-Concat", "partial 是一个分段（不需 sha256）；final;地址 地址… 把分段按次序合并"),
            CHECKSUM,
        ],
        {
            "201": {
                "description": "上传地址在 Location 里",
                "headers": {"Location": {"schema": TEXT, "example": UPLOAD}, **OFFSET, **EXPIRES},
            },
            **_refused(400, 401, 403, 404, 408, 409, 410, 412, 413, 415, 422, 423, 460, 503, 507),
        },
        chunk=True,
    ),
}
ONE = {
    "head": _door(
        "files_head",
        "到哪里了",
        "断开之后先问这个，再从 Upload-Offset 接着传。",
        [ID],
        {
            "200": {
                "description": "已有多少、共多少",
                "headers": {**OFFSET, "Upload-Length": {"schema": INTEGER}, **EXPIRES},
            },
            **_refused(401, 404, 412, 423),
        },
    ),
    "patch": _door(
        "files_patch",
        "接着传",
        "从 Upload-Offset 写起。连接中断时，已到的字节保留（带 Upload-Checksum 的一段除外）。最后一段到齐即验 SHA-256 并入库。",
        [ID, _header("Upload-Offset", "这一段从哪里起", schema=INTEGER, example=102400, required=True), CHECKSUM],
        {
            "204": {"description": "已落盘", "headers": {**OFFSET, **EXPIRES}},
            **_refused(400, 401, 403, 404, 408, 409, 410, 412, 413, 415, 422, 423, 460, 503, 507),
        },
        chunk=True,
    ),
    "delete": _door(
        "files_delete",
        "放弃",
        "删去没有传完的字节和地址；已入库的照片不受影响。",
        [ID],
        {"204": {"description": "已放弃"}, **_refused(401, 403, 404, 412, 423)},
    ),
}
PATHS = {PREFIX: COLLECTION, PREFIX + "/{upload_id}": ONE}
