# JupyterLab on the students' version of the labs, one student a container: see "A server" in README.md.
FROM python:3.12
WORKDIR /labkit
COPY pyproject.toml constraints.txt Makefile README.md CONTRIBUTING.md LICENSE ./
COPY labkit labkit
COPY notebooks notebooks
COPY data/reference data/reference
ENV PIP_NO_CACHE_DIR=1
RUN make doctor
EXPOSE 8888
CMD [".venv/bin/labkit", "lab", "--no-browser", "--allow-root", "--ip=0.0.0.0"]
