"""Positions: which datum a pair of numbers is in, one normal form (WGS-84), and distance. No database.

A phone gives WGS-84, Gaode and Tencent maps GCJ-02, Baidu BD-09; mixed up in the demo's district they lie half a
kilometre apart. So a distance takes only `Position`s, and a Position is made by `to_wgs84` alone.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import asin, atan2, cos, hypot, isfinite, pi, radians, sin, sqrt

_AXIS = 6378245.0  # Krasovsky 1940, as the public GCJ-02 formula has it
_ECCENTRICITY_SQUARED = 0.00669342162296594323
_BAIDU = pi * 3000.0 / 180.0
_EARTH_RADIUS_M = 6371008.8


class Datum(StrEnum):
    WGS84 = "WGS84"
    CGCS2000 = "CGCS2000"  # differs from WGS-84 by centimetres: taken as equal (regulations §4.7)
    GCJ02 = "GCJ02"
    BD09 = "BD09"


@dataclass(frozen=True, slots=True)
class Position:
    """A point in WGS-84: degrees north and east."""

    lat: float
    lon: float


def to_wgs84(lat: float, lon: float, datum: Datum | str) -> Position:
    """The same point in WGS-84. Raises ValueError for an unknown datum or numbers that are no position.

    GCJ-02 has no published inverse: it is found by iteration, to well under 0.5 m.
    """
    if not (isfinite(lat) and isfinite(lon) and abs(lat) <= 90 and abs(lon) <= 180):
        raise ValueError(f"no position: {lat}, {lon}")
    datum = Datum(datum)
    if datum is Datum.BD09:
        lat, lon = _gcj02_from_bd09(lat, lon)
    if datum in (Datum.BD09, Datum.GCJ02):
        lat, lon = _wgs84_from_gcj02(lat, lon)
    return Position(lat, lon)


def from_wgs84(position: Position, datum: Datum | str) -> tuple[float, float]:
    """(lat, lon) of a Position in another datum, e.g. to put a marker on a Gaode map."""
    datum = Datum(datum)
    if datum in (Datum.WGS84, Datum.CGCS2000):
        return position.lat, position.lon
    lat, lon = _gcj02_from_wgs84(position.lat, position.lon)
    return (lat, lon) if datum is Datum.GCJ02 else _bd09_from_gcj02(lat, lon)


def distance_m(a: Position, b: Position) -> float:
    """Metres in a straight line over the ground, true to 0.5 %; a hint, never a finding (regulations §1.4).

    Takes Positions only: TypeError for bare numbers, because those may be in different datums.
    """
    if not (isinstance(a, Position) and isinstance(b, Position)):
        raise TypeError("distance_m takes Positions: bring both points to WGS-84 with to_wgs84 first")
    north, east = radians(b.lat - a.lat) / 2, radians(b.lon - a.lon) / 2
    h = sin(north) ** 2 + cos(radians(a.lat)) * cos(radians(b.lat)) * sin(east) ** 2
    return 2 * _EARTH_RADIUS_M * asin(min(1.0, sqrt(h)))


def _wgs84_from_gcj02(lat: float, lon: float) -> tuple[float, float]:
    guess_lat, guess_lon = lat, lon
    for _ in range(20):
        shown_lat, shown_lon = _gcj02_from_wgs84(guess_lat, guess_lon)
        off_lat, off_lon = shown_lat - lat, shown_lon - lon
        guess_lat, guess_lon = guess_lat - off_lat, guess_lon - off_lon
        if hypot(off_lat, off_lon) < 1e-9:
            break
    return guess_lat, guess_lon


def _gcj02_from_wgs84(lat: float, lon: float) -> tuple[float, float]:
    if not (0.8293 <= lat <= 55.8271 and 72.004 <= lon <= 137.8347):
        return lat, lon  # the shift is applied within this frame only
    north, east = _shift(lat - 35.0, lon - 105.0)
    squash = 1 - _ECCENTRICITY_SQUARED * sin(radians(lat)) ** 2
    meridian = _AXIS * (1 - _ECCENTRICITY_SQUARED) / (squash * sqrt(squash))
    parallel = _AXIS / sqrt(squash) * cos(radians(lat))
    return lat + north * 180.0 / (meridian * pi), lon + east * 180.0 / (parallel * pi)


def _shift(y: float, x: float) -> tuple[float, float]:
    """Metres north and east by which GCJ-02 displaces a point (public formula), y and x in degrees from 35 N, 105 E."""
    wave = (20.0 * sin(6.0 * x * pi) + 20.0 * sin(2.0 * x * pi)) * 2.0 / 3.0
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * sqrt(abs(x)) + wave
    north += (20.0 * sin(y * pi) + 40.0 * sin(y / 3.0 * pi)) * 2.0 / 3.0
    north += (160.0 * sin(y / 12.0 * pi) + 320.0 * sin(y * pi / 30.0)) * 2.0 / 3.0
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * sqrt(abs(x)) + wave
    east += (20.0 * sin(x * pi) + 40.0 * sin(x / 3.0 * pi)) * 2.0 / 3.0
    east += (150.0 * sin(x / 12.0 * pi) + 300.0 * sin(x / 30.0 * pi)) * 2.0 / 3.0
    return north, east


def _bd09_from_gcj02(lat: float, lon: float) -> tuple[float, float]:
    radius = hypot(lon, lat) + 0.00002 * sin(lat * _BAIDU)
    angle = atan2(lat, lon) + 0.000003 * cos(lon * _BAIDU)
    return radius * sin(angle) + 0.006, radius * cos(angle) + 0.0065


def _gcj02_from_bd09(lat: float, lon: float) -> tuple[float, float]:
    y, x = lat - 0.006, lon - 0.0065
    radius = hypot(x, y) - 0.00002 * sin(y * _BAIDU)
    angle = atan2(y, x) - 0.000003 * cos(x * _BAIDU)
    return radius * sin(angle), radius * cos(angle)
