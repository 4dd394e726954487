"""A notebook with a plot, run top to bottom in this target's own kernel."""

import os
import shutil
import sys
import tempfile

from common import emit

CELLS = (
    "%matplotlib inline\nimport numpy as np\nimport pandas as pd\nimport matplotlib.pyplot as plt",
    "import seaborn as sns\nsns.set()",
    "x = np.linspace(0, 6, 50)\nframe = pd.DataFrame({'x': x, 'sin': np.sin(x)})\nframe.describe()",
    "plt.plot(frame['x'], frame['sin'])\nplt.title('a plot')\nplt.show()",
    "import sys\nprint(sys.prefix)",
)


def run():
    """Run it; the types of all outputs, and which environment the kernel was in."""
    folder = tempfile.mkdtemp()
    # Nothing is left in the caller's home folder.
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        os.environ[name] = os.path.join(folder, name)
        os.mkdir(os.environ[name])
    import nbformat
    from nbconvert.preprocessors import ExecutePreprocessor

    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    try:
        ExecutePreprocessor(timeout=120, kernel_name="python3").preprocess(notebook, {"metadata": {"path": folder}})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    texts = [output.text.strip() for output in outputs if output.output_type == "stream" and output.name == "stdout"]
    return {
        "types": sorted({kind for output in outputs for kind in output.get("data", {})}),
        "plot_bytes": sum(len(output.get("data", {}).get("image/png", "")) for output in outputs),
        "kernel_prefix": texts[-1] if texts else None,
        "prefix": sys.prefix,
    }


if __name__ == "__main__":
    emit(run())
