"""Every door of the product, tried by every role of the own school, of another school, of another district, and by nobody.

What must come of it stands in tables, written by hand and never computed by the product's own gate. Rows are doors,
columns are who tries (people.py). A cell: ✓ it is done · 401 who are you · 403 seen, but not yours to do · 404 unknown
or not visible, byte-equal to what an unknown id is answered; in push that is `deferred` · 409 the id is taken.
"""
