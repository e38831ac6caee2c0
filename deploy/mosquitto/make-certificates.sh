#!/bin/sh
# A small authority, a certificate for the broker, and certificates for devices.
#
#   make-certificates.sh FOLDER broker NAME...    ca.crt, broker.crt, broker.key; NAMEs and addresses by which devices reach it
#   make-certificates.sh FOLDER device NAME       NAME.crt, NAME.key, for require_certificate true
#
# ca.key signs everything: keep it off the broker. Run again before DAYS are over.
set -eu
umask 077
DAYS=${DAYS:-825}
CA_DAYS=${CA_DAYS:-3650}

fail() { echo "make-certificates.sh: $*" >&2; exit 2; }
new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

# sign NAME EXTENSIONS: NAME.key and NAME.crt
sign() {
    new_key "$1.key"
    openssl req -new -key "$1.key" -subj "/O=Ostiary/CN=$1" -out "$1.csr"
    printf '%s\n' "basicConstraints=CA:FALSE" "keyUsage=critical,digitalSignature" "$2" \
        "subjectKeyIdentifier=hash" "authorityKeyIdentifier=keyid" > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days "$DAYS" -sha256 -extfile "$1.ext" -out "$1.crt" 2> /dev/null
    rm "$1.csr" "$1.ext"
    chmod 644 "$1.crt"
}

[ $# -ge 3 ] || fail "usage: make-certificates.sh FOLDER broker NAME... | FOLDER device NAME"
folder=$1 kind=$2
shift 2
mkdir -p "$folder"
cd "$folder"
if [ ! -e ca.key ]; then
    new_key ca.key
    openssl req -x509 -new -key ca.key -sha256 -days "$CA_DAYS" -subj "/O=Ostiary/CN=Ostiary broker authority" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.crt
    chmod 644 ca.crt
fi
case $kind in
    broker)
        names=
        for name in "$@"; do
            # What consists of digits and dots, or has a colon, is an address.
            case $name in
                *:*) names="$names,IP:$name" ;;
                *[!0-9.]*) names="$names,DNS:$name" ;;
                *) names="$names,IP:$name" ;;
            esac
        done
        sign broker "extendedKeyUsage=serverAuth
subjectAltName=${names#,}"
        ;;
    device) sign "$1" "extendedKeyUsage=clientAuth" ;;
    *) fail "$kind: expected broker or device" ;;
esac
