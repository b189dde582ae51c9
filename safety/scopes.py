"""placeholder until branch pull lands"""


def past_sight(person, moment):
    return None
