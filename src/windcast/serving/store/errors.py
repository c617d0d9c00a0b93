"""What can go wrong with the store.

WindcastError
└── StoreError             the database is foreign, damaged, too new, or refuses what was asked
    ├── StoreUnavailable   it is gone, full or locked for too long; the same call may be repeated later
    ├── VersionConflict    what was asked contradicts what is stored; nothing of it is stored
    └── UnknownFarm        no farm of that name
"""

from windcast.errors import WindcastError


class StoreError(WindcastError):
    """The database is foreign, damaged, too new, or refuses what was asked."""


class StoreUnavailable(StoreError):
    """The database is gone, full or locked for too long. The same call may be repeated: repetitions are recognised."""


class VersionConflict(StoreError):
    """What was asked contradicts what is stored. Nothing of it was stored."""


class UnknownFarm(StoreError):
    """No farm of that name is in the store."""
