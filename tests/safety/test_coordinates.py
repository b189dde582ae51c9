import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety.coordinates import Datum, Position, distance_m, from_wgs84, to_wgs84

DISTRICT = Position(35.07, 109.07)
in_china = st.builds(Position, st.floats(18.2, 53.5), st.floats(73.6, 134.7))


@given(point=in_china, datum=st.sampled_from(Datum))
def test_a_point_comes_back_within_half_a_metre_when_taken_to_another_datum(point, datum):
    assert distance_m(point, to_wgs84(*from_wgs84(point, datum), datum)) < 0.5


def test_gcj02_and_bd09_give_the_published_sample_values():
    """Samples that the common open converters print in their documentation for 39.915 N, 116.404 E."""
    assert from_wgs84(Position(39.915, 116.404), Datum.GCJ02) == pytest.approx(
        (39.91640428150164, 116.41024449916938), abs=1e-9
    )
    gcj02 = from_wgs84(to_wgs84(39.915, 116.404, Datum.BD09), Datum.GCJ02)
    assert gcj02 == pytest.approx((39.90865673957631, 116.39762729119315), abs=1e-8)


def test_an_unconverted_gaode_point_is_half_a_kilometre_off_in_the_district():
    """Regulations §4.7: about 476 m at 35.07 N, 109.07 E, almost all of it east to west."""
    lat, lon = from_wgs84(DISTRICT, Datum.GCJ02)
    assert distance_m(DISTRICT, Position(lat, lon)) == pytest.approx(476, abs=3)
    assert distance_m(DISTRICT, Position(35.07, lon)) > 0.98 * distance_m(DISTRICT, Position(lat, lon))


def test_cgcs2000_counts_as_wgs84():
    assert to_wgs84(35.07, 109.07, "CGCS2000") == to_wgs84(35.07, 109.07, "WGS84") == DISTRICT


def test_gcj02_is_left_alone_when_the_point_lies_outside_its_frame():
    assert to_wgs84(51.4779, -0.0015, Datum.GCJ02) == Position(51.4779, -0.0015)


def test_distance_is_right_for_a_known_stretch():
    assert distance_m(Position(35, 109), Position(36, 109)) == pytest.approx(110_950, rel=0.005)
    assert distance_m(Position(35.07, 109), Position(35.07, 110)) == pytest.approx(91_170, rel=0.005)
    assert distance_m(DISTRICT, DISTRICT) == 0


@pytest.mark.parametrize("other", [(35.07, 109.07), {"lat": 35.07, "lon": 109.07}, None])
def test_distance_refuses_points_that_were_not_brought_to_one_datum(other):
    with pytest.raises(TypeError):
        distance_m(DISTRICT, other)


@pytest.mark.parametrize(
    ("lat", "lon", "datum"),
    [
        (109.07, 35.07, "WGS84"),
        (35.07, 181, "WGS84"),
        (math.nan, 109.07, "GCJ02"),
        (35.07, math.inf, "BD09"),
        (35.07, 109.07, "UTM"),
    ],
)
def test_a_position_is_refused_when_it_cannot_be_one(lat, lon, datum):
    with pytest.raises(ValueError):
        to_wgs84(lat, lon, datum)
