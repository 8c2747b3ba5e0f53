"""CSV tables of cells: columns by name, one slide or many."""

import numpy as np
import pytest

from tests.unit.annotations.made_boxes import classes_of
from wsi_patches.annotations import boxes_of, read_table
from wsi_patches.errors import AnnotationError


def written(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_our_own_file_of_cells(tmp_path):
    cells = read_table(written(tmp_path, "x,y,class,score\n1.5,2.0,blast,0.25\n3,4,other,1\n"))
    assert cells.xy.tolist() == [[1.5, 2], [3, 4]]
    assert classes_of(cells) == ["blast", "other"]
    assert cells.score.tolist() == [0.25, 1]
    assert not cells.attributes


def test_boxes_name_first_and_last_pixel(tmp_path):
    content = "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,9,9,WBC,1,2,4,6\nb.png,9,9,RBC,0,0,0,0\n"
    cells = read_table(written(tmp_path, content), "a.png")
    assert boxes_of(cells).tolist() == [[1, 2, 4, 6]]
    assert cells.xy.tolist() == [[2.5, 4]]
    assert classes_of(cells) == ["WBC"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfImage Name,X,Y,Label\r\na.png,1,2,blast\r\n\r\n",
        b"image;Y;x;CLASS\na.png;2;1;blast\n",
        b'image_id\tx_px\ty_px\tclass_name\n"a.png"\t1\t2\tblast',
        b"note,file,class,x,y\n,a.png,blast, 1 ,2.0\n,,,,\n",
    ],
)
def test_every_way_of_writing_one_cell(tmp_path, content):
    for image in ("a.png", None):
        cells = read_table(written(tmp_path, content), image)
        assert (cells.xy.tolist(), classes_of(cells)) == ([[1, 2]], ["blast"])


def test_cells_without_a_class_are_of_the_default(tmp_path):
    assert classes_of(read_table(written(tmp_path, "x,y\n1,2\n"))) == ["white_cell"]
    assert classes_of(read_table(written(tmp_path, "x,y,class\n1,2,\n"), default_class="other")) == ["other"]


def test_an_image_without_cells_has_a_row_without_coordinates(tmp_path):
    path = written(tmp_path, "image,x,y\na.png,,\nb.png,1,2\n")
    assert len(read_table(path, "a.png")) == 0
    with pytest.raises(AnnotationError, match=r"does not speak of an image 'c\.png'"):
        read_table(path, "c.png")
    with pytest.raises(AnnotationError, match="speaks of 2 images"):
        read_table(path)
    assert len(read_table(written(tmp_path, "x,y\n"))) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: expected a header"),
        ("\nx,y\n", "line 1: expected a header"),
        ("1,2\n3,4\n", "expected the columns x and y"),
        ("xmin,ymin,xmax\n1,2,3\n", "expected the columns x and y"),
        ("x,X,y\n1,2,3\n", "each column is named once, found x"),
        ("x,y\n1,2\n3\n", "line 3: expected 2 fields"),
        ("x,y\n1,2,3\n", "line 2: expected 2 fields"),
        ("x,y\n1,nan\n", "line 2, y: expected a number"),
        ("x,y\n-inf,1\n", "line 2, x: expected a number"),
        ("x,y\n1,\n", "line 2, y: expected a number"),
        ("x,y,score\n1,2,high\n", "line 2, score: expected a number"),
        ("x,y,score\n1,2,97\n", "line 2, score: expected a score in 0..1, found 97"),
        ("x,y\n1,1e300\n", "line 2, y: expected a number"),
        ("xmin,ymin,xmax,ymax\n9,2,3,4\n", "line 2: expected a box"),
        ('x,y\n1,"2\n', "line 2: not a row"),
        (b"x,y,class\n1,2,gr\xf6sse\n", "line 2: expected UTF-8"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, message):
    with pytest.raises(AnnotationError, match=message) as error:
        read_table(written(tmp_path, content))
    assert "a.csv" in str(error.value)


def test_many_slides_in_one_file(tmp_path):
    rows = [f"slide {number % 50}.png,{number},{number + 1}\n" for number in range(5000)]
    path = written(tmp_path, "image,x,y\n" + "".join(rows))
    cells = read_table(path, "slide 7.png")
    assert np.array_equal(cells.x, np.arange(7, 5000, 50))
