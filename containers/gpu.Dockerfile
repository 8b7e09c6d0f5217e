# A worker of `sampt batch` on a GPU of NVIDIA: docs/containers.md.
#
#     docker build -f containers/gpu.Dockerfile -t sampt-gpu .
#     docker run --rm --gpus all -v "$PWD/videos:/data:ro" -v "$PWD/out:/out" -v sampt-weights:/weights sampt-gpu \
#         /data/list.jsonl -o /out --preset best

# PyTorch's wheels bring CUDA; of the host it needs the driver alone, which NVIDIA's container toolkit mounts.
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE THIRD_PARTY.md ./
COPY src src
RUN python -m venv /opt/sampt \
    && /opt/sampt/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt '.[sam,remote]' \
    && /opt/sampt/bin/python -c "import torch; assert torch.version.cuda, 'this PyTorch was built without CUDA'"

FROM python:3.13-slim
COPY --from=build /opt/sampt /opt/sampt
RUN useradd --uid 1000 --create-home sampt \
    && install -d -o sampt -g sampt /out /weights
ENV PATH=/opt/sampt/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SAMPT_WEIGHTS_DIR=/weights \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000
WORKDIR /out
# Weights are downloaded once and verified, and are there for the next container.
VOLUME ["/out", "/weights"]
ENTRYPOINT ["sampt", "batch"]
CMD ["--help"]
