"""The object store of each site, as the document of engines says, opened with keys from a file or the environment."""

from __future__ import annotations

import configparser
import os
import threading
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sanjin.adapters.files import private_text
from sanjin.model.catalogue import problem
from sanjin.model.engines import EngineSettings, StoreKind, StoreSettings
from sanjin.model.errors import ProblemsFound

if TYPE_CHECKING:  # the library is loaded where a site has an object store
    from sanjin.adapters.movers.objects import DataObjects, Objects

ObjectsOf = Callable[[str], "DataObjects | None"]
PATIENCE_S = 5
"""Seconds for which a store that does not answer is asked again before a transfer is given up for now."""
REQUEST_S = 60
"""Seconds that one request, for 16 MiB at most, may take."""
QUICK_S = 5
"""The same where it is only asked what it holds: a node that starts waits for that."""
_NAMES = ("aws_access_key_id", "aws_secret_access_key")


def store_choice(engines: Mapping[str, EngineSettings], here: Collection[str]) -> ObjectsOf:
    """Gives a site's object store, None where it has none. Each is opened once.

    Raises ProblemsFound where one of the sites ``here`` has keys that cannot be had; for other sites OSError comes when
    their store is asked for: this machine may have no keys for them.
    """
    stores: dict[str, DataObjects] = {}
    guard = threading.Lock()

    def objects(site: str) -> DataObjects | None:
        settings = engines[site].store if site in engines else None
        if settings is None:
            return None
        with guard:
            if site not in stores:
                from sanjin.adapters.movers.objects import DataObjects, ObjectStoreAway

                try:
                    long, quick = _open(site, settings, PATIENCE_S, REQUEST_S), _open(site, settings, QUICK_S, QUICK_S)
                    stores[site] = DataObjects(site, long, quick)
                except ProblemsFound as fault:
                    raise ObjectStoreAway(site, str(fault)) from fault
            return stores[site]

    for site in here:
        if site in engines and (settings := engines[site].store) and settings.kind is StoreKind.S3:
            _keys(site, settings)
    return objects


def _open(site: str, settings: StoreSettings, patience_s: int, request_s: int) -> Objects:
    """Raises ProblemsFound."""
    from obstore.store import LocalStore, S3Store

    if settings.kind is StoreKind.FOLDER:
        return LocalStore(Path(settings.folder) / site, mkdir=True)
    key, secret = _keys(site, settings)
    return S3Store(
        settings.bucket,
        prefix=settings.prefix or site,
        endpoint=settings.endpoint,
        region=settings.region,
        access_key_id=key,
        secret_access_key=secret,
        virtual_hosted_style_request=False,
        client_options={
            "allow_http": settings.endpoint.startswith("http://"),  # the document's reader let it only be this machine
            "connect_timeout": timedelta(seconds=5),
            "timeout": timedelta(seconds=request_s),
        },
        retry_config={
            "max_retries": 1000,  # time decides
            "retry_timeout": timedelta(seconds=patience_s),
            "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 2},
        },
    )


def _keys(site: str, settings: StoreSettings) -> tuple[str, str]:
    """Access key and secret, of the file that is named or else of the environment. Raises ProblemsFound."""
    found: Mapping[str, str] = {name: os.environ.get(name.upper(), "") for name in _NAMES}
    at = f"engines.{site}.store.credentials"
    if settings.credentials:
        try:
            text = private_text(settings.credentials, "utf-8")
            if text is None:
                raise ProblemsFound([problem("store_keys_open", at, value=settings.credentials)])
            read = configparser.RawConfigParser()
            read.read_string(text)
            found = read["default"]
        except (OSError, KeyError, ValueError, configparser.Error):
            raise ProblemsFound([problem("no_store_keys", at, value=settings.credentials)]) from None
    key, secret = (found.get(name, "") for name in _NAMES)
    if not key or not secret:
        raise ProblemsFound([problem("no_store_keys", at, value=settings.credentials or ", ".join(_NAMES).upper())])
    return key, secret
