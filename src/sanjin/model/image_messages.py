"""Texts about container images and cards of runs. Key, (English, Chinese); see :mod:`sanjin.model.catalogue`."""

from __future__ import annotations

IMAGES: dict[str, tuple[str, str]] = {
    "reason.images": ("no container images can run there", "该站点不能运行容器镜像"),
    "doctor.images": ("container images", "容器镜像"),
    "doctor.images_ready": ("can be fetched, unpacked and run under bubblewrap", "可获取、解包并在 bubblewrap 下运行"),
    "doctor.images_apptainer": (
        "Apptainer is installed; not tried yet by us on a real one",
        "已安装 Apptainer;尚未在真实环境验证",
    ),
    "doctor.todo_images": (
        "needed only where images are to run: apt install {missing}",
        "仅在需要运行镜像时:apt install {missing}",
    ),
    "doctor.cards": ("cards for jobs", "供作业使用的加速卡"),
    "doctor.cards_found": (
        "{count} device files; how runs are given them has not met a real card yet",
        "{count} 个设备文件;向作业提供加速卡的方式尚未在真实加速卡上验证",
    ),
    "doctor.cards_none": ("none found below /dev", "/dev 下未发现"),
}
IMAGE_PROBLEMS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "bad_image": (
        ("{value!r} is no reference to a container image", "{value!r} 不是容器镜像引用"),
        (
            "write docker://HOST/NAME:TAG, docker://HOST/NAME@sha256:..., oci:NAME:TAG or sif:NAME",
            "请写作 docker://HOST/NAME:TAG、docker://HOST/NAME@sha256:...、oci:NAME:TAG 或 sif:NAME",
        ),
    ),
    "no_images": (
        ("no site of this region runs container images", "本区域没有可运行容器镜像的站点"),
        (
            "leave the image out, or have a site declare `images: true` in the region document",
            "请去掉镜像,或在区域文档中为站点声明 images: true",
        ),
    ),
    "images_not_declared": (
        ("{site} has settings for images, but the region document does not say so", "{site} 设置了镜像,但区域文档未声明"),
        (
            "say `images: true` at this node in the region document, or no work with an image will be placed there",
            "请在区域文档的该节点写明 images: true,否则带镜像的作业不会被安排到那里",
        ),
    ),
    "no_apptainer": (
        ("apptainer is not installed here", "本机未安装 apptainer"),
        ("install it, or set the way of images to bwrap", "请安装,或将镜像的运行方式设为 bwrap"),
    ),
}
