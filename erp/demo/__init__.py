"""``manage.py demo``: a believable company or two, and the service at work for them.

It is there to be read, too: ``sample`` makes the data, ``flow`` does with it what business
code would do, ``report`` says what came of it and whether that is what had to come.
"""
