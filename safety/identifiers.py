"""The numbers by which schools, units, vehicles, places and telephones are known: checked, tidied, masked. No database.

`require_…` functions are plain Django validators: they take what is to be stored, return nothing and raise
ValidationError with a code of their own and a sentence that says what is wrong. Shapes: regulations §4.1.
"""

import re

from django.core.exceptions import ValidationError

SCHOOL_CATEGORIES = {
    "11": "幼儿园",
    "21": "小学",
    "22": "成人小学",
    "31": "普通初中(含九年一贯制)",
    "32": "职业初中",
    "33": "成人初中",
    "34": "普通高中(含完全中学)",
    "35": "成人高中",
    "36": "中等职业学校",
    "37": "专门学校",
    "41": "普通高校",
    "42": "成人高校",
    "51": "特殊教育学校",
    "91": "其他",
    "92": "其他",
    "93": "其他",
}
_PROVINCE = r"(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-2])"
_SCHOOL_CODE = re.compile(rf"(?:{'|'.join(SCHOOL_CATEGORIES)}){_PROVINCE}[0-9]{{6}}")

_USCC_CHARACTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC = re.compile(r"[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
_USCC_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)

_PLATE_PLACE = "[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z]"
_STANDARD_PLATE = re.compile(rf"{_PLATE_PLACE}[A-HJ-NP-Z0-9]{{5}}")
_NEW_ENERGY_PLATE = re.compile(rf"{_PLATE_PLACE}(?:[A-HJK][A-HJ-NP-Z0-9][0-9]{{4}}|[0-9]{{5}}[A-HJK])")
_PLATE_FILLING = re.compile("[\\s\u00b7\u2022\u2027\u30fb\uff65.-]")  # the dots that keyboards offer

_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_LANDLINE = re.compile(r"0(?:10|2[0-9]|[3-9][0-9]{2})-?[2-9][0-9]{6,7}")
_AREA_6 = re.compile(r"[1-9][0-9]{5}")
_AREA_12 = re.compile(r"[1-9][0-9]{11}")


def require_school_code(value: str) -> None:
    """学校(机构)标识码: 2 digits of category, 2 of province, 6 of sequence."""
    if not _SCHOOL_CODE.fullmatch(value):
        raise ValidationError("学校标识码应为 10 位数字:2 位学校类别、2 位省份、6 位顺序号。", code="school-code-shape")


def school_code_from(category: str, sequence: int, *, province: str = "61") -> str:
    """A well-formed 学校标识码, e.g. ("21", 990001) → "2161990001". Raises ValidationError when the parts make none."""
    code = f"{category}{province}{sequence:06d}"
    require_school_code(code)
    return code


def require_uscc(value: str) -> None:
    """统一社会信用代码, 18 characters: shape, the check character of the organisation code within, and its own.

    Source: GB 32100-2015 and GB 11714. Codes: uscc-shape, uscc-organisation-check, uscc-check.
    """
    if not _USCC.fullmatch(value):
        raise ValidationError(
            "统一社会信用代码应为 18 位大写字母和数字,不含 I、O、S、V、Z,第 3 至 8 位为行政区划。", code="uscc-shape"
        )
    if value[16] != organisation_check(value[8:16]):
        raise ValidationError(
            "统一社会信用代码中的组织机构代码(第 9 至 17 位)校验不符,请核对。", code="uscc-organisation-check"
        )
    if value[17] != uscc_check(value[:17]):
        raise ValidationError("统一社会信用代码的最后一位校验不符,请核对。", code="uscc-check")


def uscc_with_check(registrar: str, area: str, organisation: str) -> str:
    """A valid 统一社会信用代码 from its parts: ("12", "610202", "DEM00001") → "12610202DEM000014C".

    `registrar` holds the registering authority and the class of unit: 12 public school, 52 non-profit private school,
    91 company, 11 authority. `organisation` is the first 8 characters of the organisation code.
    """
    body = f"{registrar}{area}{organisation}{organisation_check(organisation)}"
    code = f"{body}{uscc_check(body)}"
    require_uscc(code)
    return code


def organisation_check(first_eight: str) -> str:
    """The ninth character of an organisation code (GB 11714): a digit or X; letters count from A = 10 to Z = 35."""
    total = sum(
        int(character, 36) * weight for character, weight in zip(first_eight, _ORGANISATION_WEIGHTS, strict=True)
    )
    return "0123456789X0"[11 - total % 11]


def uscc_check(first_seventeen: str) -> str:
    """The eighteenth character of a 统一社会信用代码 (GB 32100-2015), mod 31 over its own 31 characters."""
    values = (_USCC_CHARACTERS.index(character) for character in first_seventeen)
    total = sum(value * weight for value, weight in zip(values, _USCC_WEIGHTS, strict=True))
    return _USCC_CHARACTERS[-total % 31]


def normalise_plate(typed: str) -> str:
    """A plate as it is stored: upper case, without the dot, spaces and dashes that people type."""
    return _PLATE_FILLING.sub("", typed).upper()


def require_plate(value: str) -> None:
    """A plate as stored (see normalise_plate), standard with 7 characters or new energy with 8 (GA 36)."""
    if not (_STANDARD_PLATE.fullmatch(value) or is_new_energy_plate(value)):
        raise ValidationError(
            "车牌号应为省份简称、一位字母和五位字母数字(新能源六位),不含 I 和 O,例如 陕B12345。", code="plate-shape"
        )


def is_new_energy_plate(value: str) -> bool:
    return _NEW_ENERGY_PLATE.fullmatch(value) is not None


def require_mobile(value: str) -> None:
    if not _MOBILE.fullmatch(value):
        raise ValidationError("手机号应为 1 开头的 11 位数字。", code="mobile-shape")


def require_landline(value: str) -> None:
    """A landline with its area code, e.g. 0919-2180000 or 01066090000."""
    if not _LANDLINE.fullmatch(value):
        raise ValidationError("固定电话应带区号,例如 0919-2180000。", code="landline-shape")


def require_phone(value: str) -> None:
    """A mobile or a landline with its area code."""
    if not (_MOBILE.fullmatch(value) or _LANDLINE.fullmatch(value)):
        raise ValidationError("电话应为 11 位手机号,或带区号的固定电话,例如 0919-2180000。", code="phone-shape")


def mask_phone(value: str) -> str:
    """What a person sees who need not call: 138****1234; a landline keeps its area code and last two digits.

    Anything else is covered altogether, so that a mistyped number shows nothing.
    """
    if _MOBILE.fullmatch(value):
        return f"{value[:3]}****{value[-4:]}"
    if _LANDLINE.fullmatch(value):
        kept = 3 if value[1] in "12" else 4
        return f"{value[:kept]}-****{value[-2:]}"
    return "****" if value else ""


def require_area_code(value: str) -> None:
    """行政区划: 6 digits down to the district, or the 12 of the statistical code down to village or community."""
    if not (_AREA_6.fullmatch(value) or _AREA_12.fullmatch(value)):
        raise ValidationError("行政区划代码应为 6 位(到区县)或 12 位(到村、社区)数字。", code="area-code-shape")
