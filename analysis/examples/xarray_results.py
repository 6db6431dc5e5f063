#!/usr/bin/env python3
"""results.h5 as labelled arrays: groups open by name, runs join on their ids, layers group by the coordinate that neurons carry.

python3 analysis/examples/xarray_results.py DIR/results.h5          # pip install xarray h5netcdf
"""

import sys

import xarray as xr

path = sys.argv[1]
runs = xr.open_dataset(path, group="runs", engine="h5netcdf")
model = str(runs.model.values[0])
neurons = xr.open_dataset(path, group=f"neurons/{model}", engine="h5netcdf")

axes = [name for name in ("prune.select", "prune.ratio", "seed") if name in runs]
both = xr.merge([runs[axes + ["f1_base", "f1_pruned"]], neurons[["saliency", "similarity"]]], join="inner")

last = str(neurons.stage.values[-1])
change = (both.saliency.sel(stage=last) - both.saliency.sel(stage="base")).groupby("layer").mean()
print(f"Change of saliency from base to {last}, by layer and run")
print(change.to_pandas().round(3).to_string())

if "prune.select" in runs:
    print("\nThe same, mean over the runs of each selection")
    print(
        change.assign_coords(select=("run", both["prune.select"].values))
        .groupby("select")
        .mean()
        .to_pandas()
        .round(3)
        .to_string()
    )

lost = (both.f1_base - both.f1_pruned).mean().item()
print(f"\nF1 lost to pruning, mean over {both.sizes['run']} runs: {lost:.4f}")
