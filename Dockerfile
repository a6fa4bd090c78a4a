# CPU:  docker build -t slowfast .
# CUDA: docker build -t slowfast:cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .
# Run:  docker run --rm -v "$PWD:/data" slowfast predict clip.wav
FROM python:3.11-slim-bookworm

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

WORKDIR /opt/slowfast
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY slowfast_cli slowfast_cli
COPY recipes recipes
RUN pip install --no-cache-dir -c constraints.txt --index-url "${TORCH_INDEX}" torch \
    && pip install --no-cache-dir -c constraints.txt .

RUN useradd --create-home slowfast
USER slowfast
WORKDIR /data
ENTRYPOINT ["slowfast"]
CMD ["--help"]
