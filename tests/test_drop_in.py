"""``lava.lib.dl`` as a name of this package: every scenario in an interpreter of its own."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lavadl_ref.netx import lava_support
from tests import PATIENCE

ROOT = Path(__file__).resolve().parents[1]
needs_lava = pytest.mark.skipif(not lava_support.available()[0], reason="lava-nc is not installed")

#: Whatever of Lava is installed cannot be found, until `hidden` is emptied.
HIDE_LAVA = """
    import importlib.machinery, importlib.metadata
    hidden = {"lava"}
    find_spec, version = importlib.machinery.PathFinder.find_spec, importlib.metadata.version
    def find(fullname, path=None, target=None):
        return None if fullname.split(".")[0] in hidden else find_spec(fullname, path, target)
    def installed(name):
        if name.startswith("lava-") and hidden:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)
    importlib.machinery.PathFinder.find_spec, importlib.metadata.version = find, installed
"""


def run(*codes):
    """Run the pieces of code one after the other; every warning is an error."""
    code = "\n".join(map(textwrap.dedent, codes))
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def others(tmp_path):
    """A folder with a lava-dl, another library and a bit of Lava, each with nothing but a mark."""
    for name in ("lava/lib/dl/slayer", "lava/lib/other", "lava/little"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("foreign = True\n")
    return tmp_path


def first_on_path(folder):
    return f"import sys; sys.path.insert(0, {str(folder)!r})\n"


INSTALL = "from lavadl_ref import drop_in; drop_in.install()\n"


def test_nothing_is_imported_before_it_is_asked_for():
    heavy = ("torch", "lava", "numba", "numpy", "h5py", "lavadl_ref.slayer", "lavadl_ref.netx")
    assert run(INSTALL, f"import sys; print(sorted(sys.modules.keys() & set({heavy})))") == "[]"


FORMS = """
    import lava.lib.dl.slayer as slayer
    import lava.lib.dl.slayer
    from lava.lib.dl import slayer as third
    import lavadl_ref.slayer as ours
    assert lava.lib.dl.slayer is slayer is third is ours

    from lava.lib.dl.slayer.neuron import cuba
    from lava.lib.dl.slayer.neuron.cuba import Neuron
    import lava.lib.dl.slayer.neuron.cuba as module
    assert cuba is module is ours.neuron.cuba and Neuron is ours.neuron.cuba.Neuron
    assert Neuron.__module__ == cuba.__spec__.name == "lavadl_ref.slayer.neuron.cuba"

    from lava.lib.dl.slayer import obd
    from lava.lib.dl.slayer.object_detection.boundingbox.utils import nms
    from lava.lib.dl.slayer.object_detection.dataset.bdd100k import BDD
    from lava.lib.dl.slayer.object_detection.dataset.prophesee_automotive import PropheseeAutomotive
    from lava.lib.dl.slayer.object_detection.models.yolo_kp import Network
    from lava.lib.dl.slayer.object_detection.yolo_base import YOLOBase, YOLOLoss, YOLOtarget
    assert obd is ours.obd and nms is obd.bbox.utils.nms and Network is obd.models.yolo_kp.Network
    assert (BDD, PropheseeAutomotive) == (obd.dataset.BDD, obd.dataset.PropheseeAutomotive)
    assert (YOLOBase, YOLOLoss, YOLOtarget) == (obd.YOLOBase, obd.YOLOLoss, obd.YOLOtarget)

    import sys
    assert "lava.magma" not in sys.modules
"""


def test_every_form_of_import_gives_the_same_objects():
    run(INSTALL, FORMS)


def test_the_packages_of_lava_are_empty_where_it_is_missing():
    """The packages above are empty, and what needs Lava says so."""
    run(
        HIDE_LAVA,
        INSTALL,
        FORMS,
        """
        assert list(lava.__path__) == list(lava.lib.__path__) == []
        import lava.lib.dl.netx
        try:
            import lava.lib.dl.netx.hdf5
        except ImportError as error:
            assert "lava-nc is not installed" in str(error), error
        else:
            raise AssertionError
        try:
            import lava.magma
        except ModuleNotFoundError as error:
            assert error.name == "lava.magma"
        else:
            raise AssertionError
        """,
    )


def test_lava_installed_later_is_found(others):
    run(
        HIDE_LAVA,
        INSTALL,
        "import lava.lib.dl.slayer as slayer",
        first_on_path(others),
        """
        hidden.clear()
        import lava.little, lava.lib.other
        assert lava.little.foreign and lava.lib.other.foreign
        import lava.lib.dl.slayer
        assert lava.lib.dl.slayer is slayer
        """,
    )


@needs_lava
def test_lava_and_netx_are_imported_together():
    run(
        INSTALL,
        """
        import lava.lib.dl.netx
        from lava.lib.dl import netx
        from lava.lib.dl.netx import hdf5
        from lava.lib.dl.netx.hdf5 import Network
        import lavadl_ref.netx.hdf5 as ours
        assert hdf5 is netx.hdf5 is ours and Network is ours.Network

        import lava.magma.core.process.process
        assert "site-packages" in lava.magma.core.process.process.__file__
        assert issubclass(Network, lava.magma.core.process.process.AbstractProcess)
        import sys
        assert "torch" not in sys.modules
        """,
    )


@needs_lava
@pytest.mark.parametrize("first", ["lava.magma.core.run_configs", "lava.proc.conv.models", "lava.utils.weightutils"])
def test_a_script_may_import_lava_first(first):
    """It is prepared for this Python then, and each of its modules is loaded once."""
    run(
        INSTALL,
        f"""
        import {first}
        import lava.magma.compiler.var_model, lava.proc.dense.process
        from lavadl_ref.netx import lava_support
        applied = list(lava_support.applied)
        lava_support.enable()
        assert lava_support.applied == applied
        from lava.lib.dl.netx.hdf5 import Network

        import sys
        for name in [name for name in sys.modules if name.startswith("lava.") and not name.startswith("lava.lib.dl")]:
            above, _, child = name.rpartition(".")
            assert vars(sys.modules[above])[child] is sys.modules[name], name
        assert "torch" not in sys.modules
        """,
    )


ELSEWHERE = """
    from lava.magma import run_configs as rcfg
    from lava.magma import run_conditions as rcnd
    import lava.magma.run_configs
    from lava.proc.io import InputLoader, BiasWriter, OutputReader
    from lava.proc import io

    import lava.magma.core.run_conditions, lava.magma.core.run_configs
    import lavadl_ref.netx.io as ours
    assert rcfg is lava.magma.core.run_configs is lava.magma.run_configs
    assert rcnd is lava.magma.core.run_conditions
    assert (InputLoader, BiasWriter, OutputReader) == (ours.InputLoader, ours.BiasWriter, ours.OutputReader)
    assert io.sink.RingBuffer.__module__ == "lava.proc.io.sink"
    assert io.__file__.endswith("__init__.py") and "site-packages" in io.__file__
"""


@needs_lava
@pytest.mark.parametrize("first", ["", "import lava.proc.io", "import lavadl_ref.netx"])
def test_what_documentation_imports_from_where_lava_does_not_have_it(first):
    """Also where Lava was imported before; nothing of it stays."""
    run(
        "" if first.startswith("import lava.") else first,
        INSTALL,
        first,
        ELSEWHERE,
        """
        drop_in.uninstall()
        import sys
        for name in ("lava.magma.run_configs", "lava.magma.run_conditions", "lava.proc.io.InputLoader"):
            above, _, child = name.rpartition(".")
            assert name not in sys.modules and child not in vars(sys.modules[above]), name
            try:
                exec(f"from {above} import {child}")
            except ImportError as error:
                assert "cannot import name" in str(error), error
            else:
                raise AssertionError(name)
        import lava.magma.core.run_configs
        assert lava.magma.core.run_configs is rcfg
        """,
    )


def test_code_of_lavas_documentation_fails_without_it_as_lava_would():
    run(
        HIDE_LAVA,
        INSTALL,
        """
        for code in ("from lava.magma import run_configs", "from lava.proc.io import InputLoader"):
            try:
                exec(code)
            except ModuleNotFoundError as error:
                assert error.name in ("lava.magma", "lava.proc"), error
            else:
                raise AssertionError(code)
        """,
    )


WALK = """
    import importlib, pkgutil, sys
    import lavadl_ref.{part} as package
    names = [name for _, name, _ in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
    {start}
    for name in names:
        ours = importlib.import_module(name)
        before = vars(sys.modules[name.rpartition(".")[0]]).copy()
        alias = name.replace("lavadl_ref", "lava.lib.dl", 1)
        assert importlib.import_module(alias) is ours, alias
        assert vars(sys.modules[name.rpartition(".")[0]]) == before, alias
    print(len(names))
"""


@pytest.mark.parametrize("start", ["", "import lava.lib.dl.{part}"])
@pytest.mark.parametrize("part", ["slayer", pytest.param("netx", marks=needs_lava)])
def test_every_module_has_its_alias(part, start):
    """Whichever of the names comes first; no package loses a function to the module of its name."""
    count = run(INSTALL, WALK.format(part=part, start=start.format(part=part)))
    assert int(count) > 5


def test_functions_called_like_their_module_stay_functions():
    """Also where the alias is the first import of all."""
    run(
        INSTALL,
        """
        import lava.lib.dl.slayer.utils.quantize, lava.lib.dl.slayer.axon.delay
        import lava.lib.dl.slayer.utils.filter.conv, lava.lib.dl.slayer.utils.time.shift
        from lava.lib.dl.slayer import axon, utils
        assert all(callable(f) for f in (utils.quantize, axon.delay, utils.filter.conv, utils.time.shift))
        from lava.lib.dl.slayer.utils.quantize import MODE
        assert MODE is utils.QUANTIZE_MODE
        """,
    )


ABSENT = """
    import importlib
    for name, said in {
        "lava.lib.dl.netx.absent": "has no lavadl_ref.netx.absent for lava.lib.dl.netx.absent",
        "lava.lib.dl.slayer.absent.deeper": "has no lavadl_ref.slayer.absent",
        "lava.lib.dl.slayer.jitconfig": "no CUDA code to configure",
        "lava.lib.dl.exchange": "lava-dl has bootstrap, decolle, netx, slayer, but no lava.lib.dl.exchange",
    }.items():
        try:
            importlib.import_module(name)
        except ImportError as error:
            assert said in str(error), error
        else:
            raise AssertionError(name)
    try:
        from lava.lib.dl import absent
    except ImportError as error:
        assert "no lava.lib.dl.absent" in str(error), error
    else:
        raise AssertionError
"""


def test_what_does_not_exist_says_so(others):
    """Although it exists in another lava-dl on the path."""
    (others / "lava/lib/dl/slayer/jitconfig.py").touch()
    (others / "lava/lib/dl/absent.py").touch()
    run(first_on_path(others), INSTALL, ABSENT)


def test_the_bootstrap_of_lava_dl_is_ours():
    run(
        INSTALL,
        """
        import lava.lib.dl.bootstrap as bootstrap
        from lava.lib.dl.bootstrap import Mode
        from lava.lib.dl.bootstrap.ann_sampler import AnnSampler
        from lava.lib.dl.bootstrap.block.base import AbstractBlock
        from lava.lib.dl.bootstrap.block.cuba import Dense
        from lava.lib.dl.bootstrap.routine import LayerMode, Scheduler
        import lavadl_ref.bootstrap
        assert bootstrap is lavadl_ref.bootstrap
        assert bootstrap.routine.Mode is Mode
        assert issubclass(Dense, AbstractBlock)
        """,
    )


def test_the_decolle_plugin_of_lava_dl_is_ours():
    run(
        INSTALL,
        """
        import lava.lib.dl.decolle as decolle
        from lava.lib.dl.decolle.loss import DECOLLELoss
        from lava.lib.dl.decolle.utils import DECOLLEAssistant
        import lavadl_ref.decolle
        assert decolle is lavadl_ref.decolle
        assert decolle.loss.DECOLLELoss is DECOLLELoss
        assert decolle.utils.DECOLLEAssistant is DECOLLEAssistant
        """,
    )


def test_a_failing_import_passes_its_error_on():
    run(
        INSTALL,
        """
        import sys
        sys.modules["torch"] = None
        try:
            import lava.lib.dl.slayer
        except ImportError as error:
            assert error.name == "torch", error
        else:
            raise AssertionError
        assert "lava.lib.dl.slayer" not in sys.modules
        del sys.modules["torch"]
        import lava.lib.dl.slayer
        """,
    )


@pytest.mark.parametrize("first", ["", "import lava.lib.dl", "import lava.lib.other"])
def test_other_libraries_live_beside(others, first):
    """Also after an import of the bare packages above lava-dl."""
    run(
        first_on_path(others),
        first,
        INSTALL,
        """
        import lava.lib.dl.slayer, lava.lib.other, lava.little
        assert not hasattr(lava.lib.dl.slayer, "foreign")
        assert lava.lib.other.foreign and lava.little.foreign
        """,
    )


def test_install_may_be_called_twice_before_uninstall(others):
    run(
        first_on_path(others),
        """
        from lavadl_ref import drop_in
        import sys
        before = list(sys.meta_path)
        drop_in.uninstall()
        drop_in.install()
        drop_in.install()
        assert len(sys.meta_path) == len(before) + 2
        import lava.lib.dl.slayer as ours
        drop_in.uninstall()
        drop_in.uninstall()
        assert sys.meta_path == before

        import lava.lib.dl.slayer
        assert lava.lib.dl.slayer.foreign and lava.lib.dl.slayer is not ours
        import lavadl_ref.slayer
        assert lavadl_ref.slayer is ours
        """,
    )


def test_uninstall_leaves_no_package_behind():
    run(
        HIDE_LAVA,
        INSTALL,
        """
        import sys, lava.lib.dl.slayer
        drop_in.uninstall()
        assert [name for name in sys.modules if name.split(".")[0] == "lava"] == []
        drop_in.install()
        import lava.lib.dl.slayer
        """,
    )


def test_lava_dl_imported_before_is_an_error(others):
    run(
        first_on_path(others),
        """
        import sys, lava.lib.dl.slayer
        from lavadl_ref import drop_in
        before = list(sys.meta_path)
        try:
            drop_in.install()
        except RuntimeError as error:
            assert "lava-dl is imported already (lava.lib.dl.slayer)" in str(error), error
        else:
            raise AssertionError
        assert sys.meta_path == before and lava.lib.dl.slayer.foreign
        """,
    )


def test_modules_can_be_reloaded_and_pickled():
    run(
        INSTALL,
        """
        import importlib, pickle
        from lava.lib.dl.slayer import classifier
        assert importlib.reload(classifier) is classifier
        # A pickle of lava-dl's names its modules.
        stored = pickle.dumps(classifier.Rate, 0).replace(b"lavadl_ref.", b"lava.lib.dl.")
        assert pickle.loads(stored) is classifier.Rate
        """,
    )
