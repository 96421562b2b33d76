import os

# Who sets it asks TensorFlow to talk; the programs under test are expected to
# say nothing of their own.
os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
