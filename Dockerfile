# Builds llmgw from source: docker build -t llmgw .
# The image holds one static binary, the litellm symlink and CA certificates;
# it runs as a non-root user and needs no writable file system.
FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/llmgw/llmgw/cmd.version=${VERSION}" -o /out/usr/local/bin/llmgw . \
 && ln -s llmgw /out/usr/local/bin/litellm \
 && mkdir -p /out/etc/ssl/certs && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ \
 && printf 'nonroot:x:65532:65532::/nonexistent:/sbin/nologin\n' > /out/etc/passwd

FROM scratch
COPY --from=build /out/ /
ENV PATH=/usr/local/bin
USER 65532:65532
EXPOSE 4000
STOPSIGNAL SIGTERM
ENTRYPOINT ["llmgw"]
CMD ["serve"]
