# One image for every role: the command says which. No shell, no packages, no root.
#   docker build -t millrace .
#   docker run -p 8080:8080 -v millrace:/data -e MILLRACE_ADMIN_KEY="$(openssl rand -hex 32)" millrace
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN VERSION=$VERSION scripts/build
# Directories that scratch lacks; a named volume takes over the owner of the one that it covers.
RUN mkdir -p /root-of-image/tmp /root-of-image/data /root-of-image/blobs \
 && chmod 1777 /root-of-image/tmp && chown 65532:65532 /root-of-image/data /root-of-image/blobs

FROM scratch
COPY --from=build /root-of-image/ /
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/bin/ /bin/
USER 65532:65532
ENV PATH=/bin MILLRACE_DATA_DIR=/data
EXPOSE 8080
# Beyond loopback it refuses to start without a key, and says so.
CMD ["millrace", "serve", "--addr", "0.0.0.0:8080"]
