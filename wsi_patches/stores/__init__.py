"""The Zarr store of patches: its format, writer, reader and check."""

from wsi_patches.stores.codecs import CODECS
from wsi_patches.stores.convert import ConvertTask, convert_part, start_conversion
from wsi_patches.stores.derived import Derived, DerivedWriter, derived_settings, read_derived
from wsi_patches.stores.format import StoreSettings
from wsi_patches.stores.mosaic import MosaicSlide
from wsi_patches.stores.reader import Store, is_store, open_store, shared_store
from wsi_patches.stores.verify import verify_store
from wsi_patches.stores.writer import PartWriter, create_group, create_store, sweep_unfinished

__all__ = [
    "CODECS",
    "ConvertTask",
    "Derived",
    "DerivedWriter",
    "MosaicSlide",
    "PartWriter",
    "Store",
    "StoreSettings",
    "convert_part",
    "create_group",
    "create_store",
    "derived_settings",
    "is_store",
    "open_store",
    "read_derived",
    "shared_store",
    "start_conversion",
    "sweep_unfinished",
    "verify_store",
]
