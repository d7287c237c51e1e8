# rise on a CPU, from a clone:
#   docker build -t rise .
#   mkdir -p runs          # yours: what Docker makes itself belongs to root, and user 1000 of the image could not write there
#   docker run --rm -v "$PWD/runs:/home/rise/runs" rise run nano
#   docker run --rm -it -p 8400:8400 -e RISE_API_KEY=secret -v "$PWD/runs:/home/rise/runs" rise serve runs/nano --host 0.0.0.0
# pip's plain torch for Linux brings CUDA along, gigabytes that a CPU has no use for: name an index that has CPU builds,
#   docker build --build-arg PIP_EXTRA_INDEX_URL=… -t rise .
FROM python:3.13-slim AS wheel
WORKDIR /src
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY recipes recipes
COPY experiments experiments
COPY rise rise
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:3.13-slim
ARG PIP_EXTRA_INDEX_URL=""
COPY constraints.txt /tmp/constraints.txt
COPY --from=wheel /dist /dist
RUN pip install --no-cache-dir -c /tmp/constraints.txt "$(ls /dist/*.whl)[train,serve]"
RUN useradd --create-home --uid 1000 rise
USER 1000
WORKDIR /home/rise
ENTRYPOINT ["rise"]
CMD ["--help"]
