"""Examples of the ground for the API's schema: what is read by collection, what is said by verb. A test holds them
against the shapes. The school is a demonstration; its code is of an unassigned range."""

BUREAU = "0193a000-0000-7000-8000-00000000b001"
SCHOOL = "0193a000-0000-7000-8000-0000000005c3"
CANTEEN = "0193a000-0000-7000-8000-0000000051e1"
INSPECTOR = "0193a000-0000-7000-8000-0000000000a1"
OFFICER = "0193a000-0000-7000-8000-0000000000a2"
PRINCIPAL = "0193a000-0000-7000-8000-0000000000a3"
ALERT = "0193a000-0000-7000-8000-000000000a1e"
DELIVERY = "0193a000-0000-7000-8000-000000000de1"
ITEM = "0193a000-0000-7000-8000-000000000901"
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

EXAMPLES = {
    "organisations": {
        "id": SCHOOL,
        "rev": 3,
        "kind": "school",
        "parent_id": BUREAU,
        "name": "市三中",
        "short_name": "三中",
        "legal_mode": "internal",
        "school_kind": "complete",
        "stages": ["junior", "senior"],
        "private": False,
        "boarding": True,
        "school_code": None,
        "uscc": "",
        "town": "红旗街街道",
        "address": "红旗街 1 号",
        "phone": "",
        "latitude": 35.0727,
        "longitude": 109.0757,
        "datum": "CGCS2000",
        "demo": True,
        "names": {"parent_id": "王益区教育局"},
    },
    "sites": {
        "id": CANTEEN,
        "rev": 1,
        "kind": "canteen",
        "unit_id": SCHOOL,
        "serves": [],
        "name": "学生食堂",
        "code": "7K3M9QX2RTAB",
        "plate": "",
        "latitude": None,
        "longitude": None,
        "datum": "",
        "closed_on": None,
        "names": {"unit_id": "市三中"},
    },
    "people": {
        "id": PRINCIPAL,
        "rev": 2,
        "name": "刘志强",
        "active": True,
        "posts": [
            {
                "id": "0193a000-0000-7000-8000-000000000905",
                "role": "principal",
                "node_id": SCHOOL,
                "node": "市三中",
                "side": "unit",
                "to_on": None,
            }
        ],
        "names": {},
    },
    "shifts": {
        "id": "0193a000-0000-7000-8000-0000000005f1",
        "node_id": BUREAU,
        "person_id": OFFICER,
        "seat": 1,
        "starts_at": "2026-11-24T00:00:00Z",
        "ends_at": "2026-11-25T00:00:00Z",
        "names": {"node_id": "王益区教育局", "person_id": "周敏"},
    },
    "alerts": {
        "id": ALERT,
        "rev": 2,
        "organisation_id": SCHOOL,
        "node_id": BUREAU,
        "site_id": CANTEEN,
        "severity": "major",
        "sentence": "燃气报警装置断电，灶间有异味",
        "state": "acknowledged",
        "occurrences": 1,
        "subject_collection": "rectifications",
        "subject_id": ITEM,
        "first_said_at": "2026-11-24T02:04:18Z",
        "first_known_at": "2026-11-24T02:06:30Z",
        "late_seconds": 132,
        "fixed_since": None,
        "seat_told": 1,
        "escalate_at": None,
        "acknowledgement": {
            "person_id": OFFICER,
            "name": "周敏",
            "said_at": "2026-11-24T02:07:02Z",
            "received_at": "2026-11-24T02:07:02Z",
        },
        "deliveries": [
            {
                "id": DELIVERY,
                "person_id": OFFICER,
                "name": "周敏",
                "reason": "duty",
                "channel": "desk",
                "state": "arrived",
                "owed_at": "2026-11-24T02:06:30Z",
                "receipt_at": "2026-11-24T02:06:31Z",
            }
        ],
        "names": {"organisation_id": "市三中", "node_id": "王益区教育局", "site_id": "学生食堂"},
    },
    "alerts_mine": {
        "id": DELIVERY,
        "rev": 2,
        "subject_collection": "alerts",
        "subject_id": ALERT,
        "organisation_id": SCHOOL,
        "reason": "duty",
        "sentence": "燃气报警装置断电，灶间有异味",
        "channel": "desk",
        "state": "arrived",
        "owed_at": "2026-11-24T02:06:30Z",
        "receipt_at": None,
        "names": {"organisation_id": "市三中"},
    },
    "changes": {
        "seq": 10482,
        "collection": "rectifications",
        "doc_id": ITEM,
        "kind": "rectification.reported",
        "actor_id": PRINCIPAL,
        "device_id": None,
        "operation_id": None,
        "said_at": "2026-11-25T08:12:00Z",
        "received_at": "2026-11-25T08:12:00Z",
        "body_hash": HASH,
        "chain": {"id": SCHOOL, "n": 118, "prev": HASH, "hash": HASH},
        "names": {"actor_id": "刘志强"},
    },
    "chain": {
        "organisation_id": SCHOOL,
        "verified": 118,
        "intact": True,
        "first_bad": None,
        "detail": "全部连续，内容与哈希一致。",
    },
    "alerts.acknowledge": {},
    "alerts.take": {},
    "alerts.resolve": {"reason": "总阀已关，燃气公司已换装报警器，复测正常", "base_rev": 3},
    "alerts.dismiss": {"reason": "传感器误报，现场无异味，已由燃气公司确认"},
    "alerts_mine.open": {},
}
