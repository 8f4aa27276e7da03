# Multi-scale training: the short side is drawn from 640 to 800 pixels, the long side is at most 1333.
_base_ = "coco.py"

train_pipeline = [
    dict(type="LoadCocoImage"),
    dict(type="LoadBoxes", box_type="hbox"),
    dict(type="RandomResize", resize_type="ResizeImage", scale=[(1333, 640), (1333, 800)], keep_ratio=True),
    dict(type="FlipImage", prob=0.5),
    dict(type="PackSample"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
