"""A painted smear as a DICOM whole slide of one level, as a scanner writes it: JPEG tiles, TILED_FULL."""

import cv2
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage, generate_uid

TILE_PX = 256


def write_dicom_slide(path, pixels, mpp=0.25):
    """Write RGB uint8 ``(h, w, 3)``; its identifiers follow from the file's name."""
    height, width = pixels.shape[:2]
    tiles = [_tile(pixels, x, y) for y in range(0, height, TILE_PX) for x in range(0, width, TILE_PX)]
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.stem, "image"])
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(image, name, generate_uid(entropy_srcs=[path.stem, name]))
    image.Modality, image.ImageType = "SM", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    image.PatientID, image.PatientName, image.PatientBirthDate, image.PatientSex = "P001", "", "", ""
    image.StudyID = image.StudyDate = image.StudyTime = image.AccessionNumber = ""
    image.Manufacturer, image.ContainerIdentifier = "painted", "S1"
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "YBR_FULL_422", 0
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    image.Rows = image.Columns = TILE_PX
    image.NumberOfFrames, image.DimensionOrganizationType = len(tiles), "TILED_FULL"
    image.TotalPixelMatrixColumns, image.TotalPixelMatrixRows = width, height
    image.SharedFunctionalGroupsSequence = [_shared(mpp)]
    image.PixelData = encapsulate(tiles)
    image.save_as(path, enforce_file_format=True)
    return path


def _shared(mpp):
    measures, group = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [mpp / 1000, mpp / 1000], 0.001
    group.PixelMeasuresSequence = [measures]
    return group


def _tile(pixels, x, y):
    part = pixels[y : y + TILE_PX, x : x + TILE_PX]
    whole = np.pad(part, ((0, TILE_PX - part.shape[0]), (0, TILE_PX - part.shape[1]), (0, 0)), mode="edge")
    return cv2.imencode(".jpg", whole[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
