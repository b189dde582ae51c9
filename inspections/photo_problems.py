"""The Problems of photo bytes, worded for the person who took the photo. What raises them lives in pictures and derivatives."""

from safety.errors import Problem


class PhotoProblem(Problem):
    """Any refusal of photo bytes: nothing of them is kept."""


class PhotoTruncated(PhotoProblem):
    """The bytes end before the picture does."""

    code, status = "photo-truncated", 422
    message = "照片不完整:内容在中途断了。请先确认原图在手机上能打开,再重新上传;打不开的请重拍。"


class PhotoTooLarge(PhotoProblem):
    code, status = "photo-too-large", 413
    message = "照片太大:{size_mb} MB,最多 {max_mb} MB。请用“校安巡检”上传(会自动压缩),或把相机分辨率调低后重拍。"


class PhotoTooManyPixels(PhotoProblem):
    code, status = "photo-too-many-pixels", 413
    message = "照片尺寸太大:{width}×{height},最多 {max_megapixels} 百万像素。请把相机分辨率调到 1200 万像素左右后重拍。"


class PhotoMislabelled(PhotoProblem):
    code, status = "photo-mislabelled", 415
    message = "文件标明的类型和内容不符:内容是 {actual}。请从相册里重新选原图,不要改文件名或后缀。"


class PhotoNotAnImage(PhotoProblem):
    code, status = "photo-not-an-image", 415
    message = "这不是照片:{what}。只收 JPEG、PNG、WebP 和 HEIC 照片,请拍照或从相册里选。"


class PhotoWithAttachment(PhotoProblem):
    code, status = "photo-with-attachment", 415
    message = "照片后面夹带了别的文件({what}),没有接收。请从相册里选原图,或重新拍摄。"


class PhotoUnreadable(PhotoProblem):
    code, status = "photo-unreadable", 422
    message = "照片打不开:{reason}。请确认原图在手机上能打开,再重新上传;打不开的请重拍。"
