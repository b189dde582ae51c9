import string

import pytest
from django.core.exceptions import ValidationError

from safety import identifiers

PUBLIC_USCC = ["9144030071526726XG", "91330100799655058B", "914403001922038216", "91110000802100433B"]
DEMO_USCC = ["12610202DEM000014C", "52610202DEM0000223", "91610202DEM000030W", "11610202DEM0000492"]


def refusal(validator, value):
    with pytest.raises(ValidationError) as caught:
        validator(value)
    return caught.value.code


def test_school_code_is_accepted_when_category_and_province_exist():
    for code in ("1144000501", "2161990001", "3461990002", "5161990003"):
        assert identifiers.require_school_code(code) is None


@pytest.mark.parametrize(
    "code",
    [
        "1244000501",
        "2116000001",
        "2199000001",
        "216199000",
        "21619900011",
        "21619900a1",
        "2161990001\n",
        "",
        "21619900１1",
    ],
)
def test_school_code_is_refused_when_its_shape_is_wrong(code):
    assert refusal(identifiers.require_school_code, code) == "school-code-shape"


def test_school_code_is_made_from_category_and_sequence():
    assert identifiers.school_code_from("21", 990001) == "2161990001"
    assert refusal(lambda sequence: identifiers.school_code_from("21", sequence), 1_000_000) == "school-code-shape"
    assert refusal(lambda category: identifiers.school_code_from(category, 1), "12") == "school-code-shape"


@pytest.mark.parametrize("code", PUBLIC_USCC + DEMO_USCC)
def test_uscc_is_accepted_when_both_checks_hold(code):
    assert identifiers.require_uscc(code) is None


@pytest.mark.parametrize("code", PUBLIC_USCC)
def test_uscc_is_refused_when_any_one_character_is_mistyped(code):
    for at, right in enumerate(code):
        for wrong in set(string.digits + string.ascii_uppercase) - {right}:
            assert refusal(identifiers.require_uscc, code[:at] + wrong + code[at + 1 :]).startswith("uscc-")


@pytest.mark.parametrize("code", PUBLIC_USCC)
def test_uscc_is_refused_when_two_neighbours_are_swapped(code):
    for at in range(17):
        swapped = code[:at] + code[at + 1] + code[at] + code[at + 2 :]
        if swapped != code:
            assert refusal(identifiers.require_uscc, swapped).startswith("uscc-")


def test_uscc_says_which_check_failed():
    assert refusal(identifiers.require_uscc, "91440300715267260G") == "uscc-organisation-check"
    assert refusal(identifiers.require_uscc, "9144030071526726XH") == "uscc-check"
    assert refusal(identifiers.require_uscc, "9144030071526726xg") == "uscc-shape"
    assert refusal(identifiers.require_uscc, "9144030I71526726XG") == "uscc-shape"
    assert refusal(identifiers.require_uscc, "9144030071526726X") == "uscc-shape"


def test_uscc_is_made_with_its_check_characters():
    assert identifiers.uscc_with_check("12", "610202", "DEM00001") == "12610202DEM000014C"
    assert identifiers.uscc_with_check("52", "610202", "DEM00002") == "52610202DEM0000223"
    assert identifiers.uscc_with_check("91", "610202", "DEM00003") == "91610202DEM000030W"
    assert identifiers.uscc_with_check("11", "610202", "DEM00004") == "11610202DEM0000492"
    assert identifiers.uscc_with_check("91", "440300", "71526726") == "9144030071526726XG"


@pytest.mark.parametrize(
    "plate", ["陕B12345", "陕BA1234", "京A12D34", "陕BD12345", "陕BF1234", "陕BFA1234", "陕B12345K"]
)
def test_plate_is_accepted_when_standard_or_new_energy(plate):
    assert identifiers.require_plate(plate) is None


@pytest.mark.parametrize(
    "plate", ["陕B1234", "陕I12345", "陕B1234O", "陕B123456", "陕b12345", "B12345", "陕B·12345", "陕BL12345", ""]
)
def test_plate_is_refused_when_its_shape_is_wrong(plate):
    assert refusal(identifiers.require_plate, plate) == "plate-shape"


@pytest.mark.parametrize("typed", ["陕B·12345", " 陕b 12345 ", "陕B-12345", "陕B・12345", "陕B•12345", "陕B.12345"])
def test_plate_is_tidied_when_typed_with_dots_spaces_or_small_letters(typed):
    assert identifiers.normalise_plate(typed) == "陕B12345"


def test_new_energy_plates_are_told_from_standard_ones():
    assert identifiers.is_new_energy_plate("陕BD12345")
    assert identifiers.is_new_energy_plate("陕B12345D")
    assert not identifiers.is_new_energy_plate("陕BD1234")


def test_phones_are_accepted_when_mobile_or_landline_with_area_code():
    for number in ("13812341234", "19900000000"):
        identifiers.require_mobile(number)
        identifiers.require_phone(number)
    for number in ("0919-2185000", "09192185000", "010-66091234", "02988661234"):
        identifiers.require_landline(number)
        identifiers.require_phone(number)


@pytest.mark.parametrize("number", ["12812341234", "1381234123", "138123412345", "+8613812341234", "138 1234 1234"])
def test_mobile_is_refused_when_its_shape_is_wrong(number):
    assert refusal(identifiers.require_mobile, number) == "mobile-shape"
    assert refusal(identifiers.require_phone, number) == "phone-shape"


@pytest.mark.parametrize("number", ["2185000", "919-2185000", "0919-185", "0919 2185000", "0919-0185000"])
def test_landline_is_refused_when_its_area_code_is_missing_or_its_shape_wrong(number):
    assert refusal(identifiers.require_landline, number) == "landline-shape"


def test_phones_are_masked_so_that_they_cannot_be_dialled():
    assert identifiers.mask_phone("13812341234") == "138****1234"
    assert identifiers.mask_phone("0919-2185678") == "0919-****78"
    assert identifiers.mask_phone("01066091234") == "010-****34"
    assert identifiers.mask_phone("1381234123") == "****"
    assert identifiers.mask_phone("") == ""


def test_area_codes_are_accepted_with_six_or_twelve_digits():
    for code in ("61", "6102", "061020", "6102020", "61020200100", "6102021001010"):
        assert refusal(identifiers.require_area_code, code) == "area-code-shape"
    for code in ("610202", "610202100000"):
        assert identifiers.require_area_code(code) is None
