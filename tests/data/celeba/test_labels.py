"""read_labels: every label where it belongs, everything else counted."""

import numpy as np
import pytest
from celeba_files import labels, write_kaggle, write_official

from labkit.data.celeba.labels import read_labels
from labkit.data.celeba.source import open_source
from labkit.errors import LabkitError
from labkit.faces.words import ATTRIBUTES

NAMES = [f"{number:06d}.jpg" for number in (1, 2, 3, 162_770, 162_771, 182_637, 182_638, 202_599)]
IMAGES = dict.fromkeys(NAMES, b"not read here")
TRUTH = labels(NAMES)
BY_NUMBER = [0, 0, 0, 0, 1, 1, 2, 2]


def read(folder, **annotations):
    """Labels of an official copy with these annotations, None where not given."""
    nothing = {"attributes": None, "identity": None, "partition": None}
    source = open_source(write_official(folder / "celeba", IMAGES, **(nothing | annotations)))
    assert source.images == tuple(NAMES)
    return read_labels(source, source.images)


def attribute_text(values, names=NAMES, columns=ATTRIBUTES, count=None, signs=(-1, 1)):
    rows = [f"{name} " + " ".join(str(signs[int(value)]) for value in row) for name, row in zip(names, values)]
    return "\n".join([str(len(rows) if count is None else count), " ".join(columns), *rows, ""])


def assert_true(found):
    assert found.attributes_known.all()
    np.testing.assert_array_equal(found.attributes, TRUTH["attributes"])


def replaced_row(text, number, new):
    """`text` with its row of NAMES[number] replaced by the lines `new`."""
    lines = text.splitlines()
    lines[2 + number : 3 + number] = new
    return "\n".join(lines)


def assert_unknown_but(found, number):
    assert found.attributes_known.tolist() == [index != number for index in range(len(NAMES))]
    expected = TRUTH["attributes"].copy()
    expected[number] = False
    np.testing.assert_array_equal(found.attributes, expected)


@pytest.mark.parametrize("write", [write_official, write_kaggle])
@pytest.mark.parametrize("zipped", [False, True])
def test_every_form_gives_the_same_labels_without_a_problem(tmp_path, write, zipped):
    source = open_source(write(tmp_path / "c", IMAGES, identity=TRUTH["identity"], zipped=zipped))
    found = read_labels(source, source.images)
    assert_true(found)
    np.testing.assert_array_equal(found.identity, TRUTH["identity"])
    np.testing.assert_array_equal(found.split, TRUTH["partition"])
    assert (found.identity.dtype, found.split.dtype, found.attributes.dtype) == (np.int64, np.int8, np.bool_)
    assert found.problems == {}


def test_labels_follow_the_order_of_the_names_asked_for(tmp_path):
    source = open_source(write_official(tmp_path / "c", IMAGES))
    order = [5, 0, 7]
    found = read_labels(source, [NAMES[index] for index in order])
    np.testing.assert_array_equal(found.attributes, TRUTH["attributes"][order])
    np.testing.assert_array_equal(found.identity, TRUTH["identity"][order])
    np.testing.assert_array_equal(found.split, TRUTH["partition"][order])
    assert found.problems == {f"{kind}: rows without an image": 5 for kind in ("attributes", "identity", "partition")}


def test_without_any_annotation(tmp_path):
    found = read(tmp_path)
    assert (found.identity == -1).all() and not found.attributes_known.any() and not found.attributes.any()
    assert found.split.tolist() == BY_NUMBER
    assert found.problems == {"partition: taken from the image's number": 8}


def test_names_that_are_not_official_are_for_training(tmp_path):
    names = ["000000.jpg", "182700.png", "202600.jpg", "5.jpg", "anna.jpg", "１９００００.jpg"]
    write_official(tmp_path / "c", dict.fromkeys(names, b""), attributes=None, identity=None, partition=None)
    source = open_source(tmp_path / "c")
    found = read_labels(source, source.images)
    assert dict(zip(source.images, found.split.tolist())) == dict.fromkeys(names, 0) | {"182700.png": 2}
    assert found.problems["partition: unknown, put into training"] == 5


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="crlf"),
        pytest.param(lambda text: text.replace("\n", "\r"), id="cr"),
        pytest.param(lambda text: "\ufeff" + text, id="bom"),
        pytest.param(lambda text: text.replace(" ", "\t\t  "), id="white-space"),
        pytest.param(lambda text: text.replace("\n", "\n\n \n"), id="blank-lines"),
        pytest.param(lambda text: text.split("\n", 1)[1], id="no-count"),
        pytest.param(lambda text: text.rstrip("\n"), id="no-last-newline"),
        pytest.param(lambda text: text.replace(" ", '","').replace("\n", '"\n"'), id="quoted"),
    ],
)
def test_forms_of_white_space_that_mean_the_same(tmp_path, change):
    found = read(tmp_path, attributes=change(attribute_text(TRUTH["attributes"])))
    assert_true(found)
    assert set(found.problems) == {"partition: taken from the image's number"}


def test_the_png_version_whose_lists_say_jpg(tmp_path):
    images = {name.replace(".jpg", ".png"): b"" for name in NAMES}
    write_official(tmp_path / "c", images, attributes=attribute_text(TRUTH["attributes"]))
    source = open_source(tmp_path / "c")
    assert_true(read_labels(source, source.images))


def test_two_formats_of_one_number_are_told_apart(tmp_path):
    names = ["000001.jpg", "000001.png"]
    write_official(tmp_path / "c", dict.fromkeys(names, b""), identity="000001.png 7\n000001.jpg 5\n")
    source = open_source(tmp_path / "c")
    assert read_labels(source, source.images).identity.tolist() == [5, 7]


def test_zeros_and_ones(tmp_path):
    assert_true(read(tmp_path, attributes=attribute_text(TRUTH["attributes"], signs=(0, 1))))


@pytest.mark.parametrize(
    "signs",
    [("No", "Yes"), ("f", "t"), ("0.00", "1.00"), ("-1", "+1"), ("-1.0e+00", "1.0e+00"), ("\N{MINUS SIGN}1", "1")],
)
def test_other_ways_to_say_yes_and_no(tmp_path, signs):
    assert_true(read(tmp_path, attributes=attribute_text(TRUTH["attributes"], signs=signs)))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("attributes", attribute_text(TRUTH["attributes"], signs=("", "x")).replace(" ", "\t")),
        ("attributes", "\n".join(attribute_text(TRUTH["attributes"]).splitlines()[:2])),
        ("identity", "\n".join(f"{name} n{number}" for number, name in enumerate(NAMES))),
        ("partition", "\n".join(f"{name} train" for name in NAMES)),
    ],
)
def test_a_table_that_would_give_no_image_a_label_is_refused(tmp_path, kind, text):
    with pytest.raises(LabkitError, match=r"no row whose values can be read.*remove it"):
        read(tmp_path, **{kind: text})


@pytest.mark.parametrize("ending", [".jpg", ""])
def test_numbers_of_rows_are_not_taken_for_names(tmp_path, ending):
    """An index that counts from 0 reads, from image 100,000 on, as names without their endings, one too far."""
    numbers = range(150_001, 150_006)
    rows = [[str(number - 1), f"{number}{ending}", *["1" if number % 2 else "-1"] * 40] for number in numbers]
    text = "\n".join(map(",".join, [["", "image_id", *ATTRIBUTES], *rows]))
    images = {f"{number}.jpg": b"" for number in numbers}
    source = open_source(write_official(tmp_path / "c", images, attributes=text, identity=None, partition=None))
    found = read_labels(source, source.images)
    assert found.attributes_known.all()
    assert found.attributes[:, 0].tolist() == [bool(number % 2) for number in numbers]


@pytest.mark.parametrize(("usual", "stray"), [(-1, "0"), (0, "-1"), (-1, "2"), (-1, "nan"), (-1, "-10"), (0, "11")])
def test_a_value_that_is_no_label_makes_its_row_unknown(tmp_path, usual, stray):
    text = attribute_text(TRUTH["attributes"], signs=(usual, 1))
    row = text.splitlines()[4].split()
    row[20] = stray
    found = read(tmp_path, attributes=replaced_row(text, 2, [" ".join(row)]))
    assert_unknown_but(found, 2)
    assert found.problems["attributes: rows with bad values"] == 1


def test_the_order_of_the_header_is_the_files_own(tmp_path):
    order = np.random.default_rng(1).permutation(len(ATTRIBUTES))
    columns = [ATTRIBUTES[index] for index in order]
    assert_true(read(tmp_path, attributes=attribute_text(TRUTH["attributes"][:, order], columns=columns)))


def test_columns_beyond_the_forty_are_counted_and_left_out(tmp_path):
    values = np.column_stack([np.ones(len(NAMES), bool), TRUTH["attributes"]])
    found = read(tmp_path, attributes=attribute_text(values, columns=("Freckles", *ATTRIBUTES)))
    assert_true(found)
    assert found.problems["attributes: unknown columns"] == 1


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ([name for name in ATTRIBUTES if name not in ("Male", "Young")], "lacks Male and 1 more"),
        ([name.replace("Smiling", "Smile") for name in ATTRIBUTES], "lacks Smiling in"),
        ([*ATTRIBUTES, "Bald"], "Bald twice"),
    ],
)
def test_a_header_that_names_not_all_forty_once(tmp_path, columns, sentence):
    with pytest.raises(LabkitError, match=sentence):
        read(tmp_path, attributes=attribute_text(TRUTH["attributes"], columns=columns))


def test_an_empty_file_and_a_page(tmp_path):
    with pytest.raises(LabkitError, match="lacks 5_o_Clock_Shadow"):
        read(tmp_path, attributes="")
    with pytest.raises(LabkitError, match="HTML page"):
        read(tmp_path, attributes="\n<!DOCTYPE html><html>Quota exceeded</html>")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_an_encoding_that_is_not_read_is_named(tmp_path, encoding):
    write_official(tmp_path, IMAGES)
    table = tmp_path / "list_attr_celeba.txt"
    table.write_bytes(table.read_text().encode(encoding))
    source = open_source(tmp_path)
    with pytest.raises(LabkitError, match=r"not in UTF-8.*save it as csv in UTF-8"):
        read_labels(source, source.images)


@pytest.mark.parametrize("columns", [[], list(ATTRIBUTES[:1])])
def test_a_file_that_is_no_table_of_attributes(tmp_path, columns):
    with pytest.raises(LabkitError, match=r"lacks .* and \d+ more"):
        read(tmp_path, attributes=" ".join(columns) + "\n000001.jpg 1\n")


@pytest.mark.parametrize("count", [0, 7, 202_599])
def test_a_count_that_lies(tmp_path, count):
    found = read(tmp_path, attributes=attribute_text(TRUTH["attributes"], count=count))
    assert_true(found)
    assert found.problems["attributes: rows more or fewer than line 1 says"] == abs(count - 8)


def test_rows_that_are_no_rows(tmp_path):
    text = attribute_text(TRUTH["attributes"])
    rows = text.splitlines()[2:]
    new = [rows[3] + " 1", rows[3].rsplit(" ", 1)[0], "garbage", "x" * 20_000, "1 " * 9_000]
    found = read(tmp_path, attributes=replaced_row(text, 3, new))
    assert_unknown_but(found, 3)
    assert found.problems["attributes: unreadable rows"] == 5
    assert found.problems["attributes: images without a row"] == 1


def test_rows_and_images_that_do_not_meet(tmp_path):
    names = ["900001.jpg", *NAMES[1:], "900002.jpg"]
    values = np.vstack([TRUTH["attributes"], TRUTH["attributes"][:1]])
    found = read(tmp_path, attributes=attribute_text(values, names=names))
    assert_unknown_but(found, 0)
    assert found.problems["attributes: rows without an image"] == 2
    assert found.problems["attributes: images without a row"] == 1


def test_a_row_that_is_repeated(tmp_path):
    text = attribute_text(TRUTH["attributes"])
    row = text.splitlines()[6]
    found = read(tmp_path / "same", attributes=text + row + "\n" + row)
    assert_true(found)
    assert found.problems["attributes: duplicate rows"] == 2
    assert found.problems["attributes: rows more or fewer than line 1 says"] == 2

    other = row[:-2] + (" 1" if row.endswith("-1") else "-1")
    found = read(tmp_path / "other", attributes=text + row + "\n" + row.rsplit(" ", 1)[0] + " " + other[-2:].strip())
    assert_unknown_but(found, 4)
    assert found.problems["attributes: conflicting rows"] == 3
    assert "attributes: duplicate rows" not in found.problems


def test_identities(tmp_path):
    rows = [
        "000001.jpg 12",
        "000002.jpg -3",
        "000003.jpg x",
        "162770.jpg 5",
        "162770.jpg 6",
        "162771.jpg 9 9",
    ]
    found = read(tmp_path, identity="\n".join(rows))
    assert found.identity.tolist() == [12, *[-1] * 7]
    assert {key: value for key, value in found.problems.items() if key.startswith("identity")} == {
        "identity: rows with bad values": 2,
        "identity: conflicting rows": 2,
        "identity: unreadable rows": 1,
        "identity: images without a row": 4,
    }


def test_a_partition_says_more_than_the_number(tmp_path):
    found = read(tmp_path, partition="000001.jpg 2\n000002.jpg 3\n202599.jpg 0\n182638.jpg 99999999999999999999\n")
    assert found.split.tolist() == [2, *BY_NUMBER[1:-1], 0]
    assert found.problems["partition: rows with bad values"] == 2
    assert found.problems["partition: taken from the image's number"] == 6


def test_the_real_rows(real_data):
    source = open_source(real_data / "celeba")
    found = read_labels(source, source.images)
    assert found.attributes_known.sum() == 447
    assert len(np.unique(found.identity)) == 160 and found.identity.min() > 0
    assert np.bincount(found.split).tolist() == [3630, 660, 510]
    assert found.problems == {"attributes: images without a row": 4353}
    np.testing.assert_array_equal(
        found.split, np.searchsorted([162_770, 182_637], [int(name[:6]) for name in source.images])
    )


def table(values, sep=",", header=("image_id", *ATTRIBUTES), names=NAMES, index=False, yes="1", no="-1"):
    """A csv of the attributes as some program writes it."""
    lines = [([""] if index else []) + list(header)]
    for number, (name, row) in enumerate(zip(names, values, strict=True)):
        lines.append(([str(number)] if index else []) + [name] + [yes if value else no for value in row])
    return "\n".join(sep.join(line) for line in lines) + "\n"


FORMS = {
    "index column": {"index": True},
    "index column, semicolons": {"index": True, "sep": ";"},
    "index column, tabs": {"index": True, "sep": "\t"},
    "other first header": {"header": ("filename", *ATTRIBUTES)},
    "first header empty": {"header": ("", *ATTRIBUTES)},
    "no first header": {"header": ATTRIBUTES},
    "True and False": {"yes": "True", "no": "False"},
    "true and false": {"yes": "true", "no": "false"},
    "1.0 and -1.0": {"yes": "1.0", "no": "-1.0"},
    "1.0 and 0.0": {"yes": "1.0", "no": "0.0"},
    "1 and 0": {"no": "0"},
    "semicolons": {"sep": ";"},
    "tabs": {"sep": "\t"},
    "blanks after commas": {"sep": ", "},
    "blanks round commas": {"sep": " , "},
    "paths": {"names": [f"img_align_celeba/{name}" for name in NAMES]},
    "paths of Windows": {"names": [f"C:\\faces\\{name}" for name in NAMES]},
    "names without endings": {"names": [name[:-4] for name in NAMES]},
    "capitals": {"names": [name.replace("jpg", "JPG") for name in NAMES]},
    "lower case": {"header": ("image_id", *[name.lower() for name in ATTRIBUTES])},
    "blanks for underscores": {"header": ("image_id", *[name.replace("_", " ") for name in ATTRIBUTES])},
    "names last": {"header": (*ATTRIBUTES, "image")},
    "names last, their header empty": {"header": (*ATTRIBUTES, "")},
    "decimal commas": {"sep": ";", "yes": "1,0", "no": "-1,0"},
    "bars": {"sep": "|"},
    "a spreadsheet in German": {"sep": ";", "yes": "WAHR", "no": "FALSCH"},
    "a spreadsheet in Spanish": {"sep": ";", "yes": "VERDADERO", "no": "FALSO"},
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("form", FORMS)
def test_each_usual_form_of_the_table_gives_the_same_labels(tmp_path, form, encoding):
    if form.startswith("names last"):
        lines = [line.split(",") for line in table(TRUTH["attributes"]).splitlines()]
        lines[0][0] = FORMS[form]["header"][-1]
        text = "\n".join(",".join([*line[1:], line[0]]) for line in lines)
    else:
        text = table(TRUTH["attributes"], **FORMS[form])
    folder = write_official(tmp_path / "celeba", IMAGES, attributes=None, identity=None, partition=None)
    (folder / "list_attr_celeba.csv").write_bytes(text.encode(encoding))
    source = open_source(folder)
    found = read_labels(source, source.images)
    assert_true(found)
    assert "40 attributes by name" in found.columns["attributes"]
    assert set(found.problems) == {"partition: taken from the image's number"}


ENDS = {
    "behind rows": lambda head, rows: [head, *(f"{row}," for row in rows)],
    "behind the header": lambda head, rows: [f"{head},", *rows],
    "behind all": lambda head, rows: [f"{head},", *(f"{row}," for row in rows)],
    "a note behind rows with one more": lambda head, rows: [f"{head},note", *(f"{row},1," for row in rows)],
    "numbers behind rows": lambda head, rows: [head, *(f"{row},{k}" for k, row in enumerate(rows))],
    "numbers before rows": lambda head, rows: [head, *(f"{k},{row}" for k, row in enumerate(rows))],
    "the official text in columns": lambda head, rows: ["8" + "," * 40, head.partition(",")[2] + ",", *rows],
    "for Excel": lambda head, rows: ["sep=,", head, *rows],
}


@pytest.mark.parametrize("form", ENDS)
def test_a_separator_or_a_column_too_many_moves_no_label(tmp_path, form):
    """A header with one name less than its rows have fields need not lack that of the first."""
    head, *rows = table(TRUTH["attributes"]).splitlines()
    assert_true(read(tmp_path, attributes="\n".join(ENDS[form](head, rows))))
    rows = [f"{name},{k + 5}" for k, name in enumerate(NAMES)]
    if "columns" not in form:
        found = read(tmp_path / "numbers", identity="\n".join(ENDS[form]("image_id,identity", rows)))
        assert found.identity.tolist() == list(range(5, 13))


def test_people_are_not_taken_from_the_column_of_splits_nor_from_half_a_number(tmp_path):
    rows = [f'{name},"{k + 1005:,}",0' for k, name in enumerate(NAMES)]
    found = read(tmp_path, identity="\n".join(["image_id,person_id,split", *rows]))
    assert found.identity.tolist() == list(range(1005, 1013))


def test_splits_may_be_counted_from_one(tmp_path):
    found = read(tmp_path, partition="\n".join(f"{name} {k % 3 + 1}" for k, name in enumerate(NAMES)))
    assert found.split.tolist() == [k % 3 for k in range(8)]


def test_the_numbers_are_found_beside_an_index_and_by_name(tmp_path):
    identity = "\n".join(["index;image_id;identity", *(f"{k};{n};{k + 5}" for k, n in enumerate(NAMES))])
    partition = "\n".join([",image_id,partition", *(f"{k},{n},{k % 3}.0" for k, n in enumerate(NAMES))])
    found = read(tmp_path, identity=identity, partition=partition)
    assert found.identity.tolist() == list(range(5, 13)) and found.split.tolist() == [k % 3 for k in range(8)]
    assert found.columns["identity"] == "names of the images from column 'image_id', identity from column 'identity'"


def test_a_table_that_names_no_image_is_refused_with_what_to_do(tmp_path):
    """All rows would be lost: an index in the place of names, or other images."""
    for names in (["0", "1", "2", "3", "4", "5", "6", "7"], [f"face{k}.jpg" for k in range(8)]):
        text = table(TRUTH["attributes"], names=names)
        with pytest.raises(
            LabkitError, match=r"no column that names these images \(they are called 000001.jpg"
        ) as caught:
            read(tmp_path / names[0], attributes=text)
        assert "give a column image_id, or remove the file" in str(caught.value)


def test_two_columns_that_could_be_the_identity_are_refused(tmp_path):
    text = "\n".join(["image_id,a,b", *(f"{name},1,2" for name in NAMES)])
    with pytest.raises(LabkitError, match="which of its columns is the identity"):
        read(tmp_path, identity=text)


@pytest.mark.parametrize("kind", ["attributes", "identity", "partition"])
def test_a_file_of_absurd_lines_is_a_sentence(tmp_path, kind):
    with pytest.raises(LabkitError, match=r"its .* (lacks|does not say)"):
        read(tmp_path, **{kind: "\n".join(["1 " * 9000] * 3)})
