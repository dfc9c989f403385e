"""The packages that the corpus is made of: names of Debian's archive, section main.

A number is the share of a package's files that is taken, by a hash of their paths; without one it is all.
Documentation comes first: where a text is in two packages, the earlier one keeps it.
"""

DOCUMENTATION = """
linux-doc-6.1 python3.11-doc debian-handbook debian-policy developers-reference debian-reference-en
installation-guide-amd64 debmake-doc debian-faq manpages manpages-dev postgresql-doc-15 sqlite3-doc db5.3-doc
rust-doc:0.5 cargo-doc erlang-doc racket-doc ghc-doc:0.3 llvm-19-doc clang-19-doc cmake-doc qtbase5-doc-html
qtdeclarative5-doc-html qtmultimedia5-doc-html qtcreator-doc libgtk-4-doc libglib2.0-doc gnome-devel-docs
python-pandas-doc python-scipy-doc python-sklearn-doc python-skimage-doc python-statsmodels-doc
python-sympy-doc python-astropy-doc python-django-doc python-sqlalchemy-doc python-dask-doc
python-xarray-doc python-biopython-doc python-babel-doc twisted-doc sagemath-doc:0.5 snakemake-doc
libstdc++-12-doc:0.3 libboost1.81-doc libeigen3-doc libreoffice-help-en-us gnome-user-docs
mate-user-guide lilypond-doc-html octave-doc maxima-doc perl-doc vim-runtime apache2-doc bind9-doc
exim4-doc-html git-doc subversion neutron-doc nova-doc keystone-doc cinder-doc singular-doc dpdk-doc:0.5
wx3.2-doc:0.5 pike8.0-doc derby-doc ns3-doc gnutls-doc gnuplot-doc graphviz-doc swig4.0-doc krb5-doc
libssl-doc libmbedtls-doc libsdl2-doc bash-doc zsh-doc zsh-common tcl8.6-doc tk8.6-doc imagemagick-6-doc
gap-doc pari-doc r-doc-html nodejs-doc lazarus-doc-2.2
"""

CODE = """
linux-source-6.1:0.3 openjdk-17-source gcc-12-source:0.6 binutils-source:0.7 glibc-source
golang-1.19-src rust-src emacs-el ansible libpython3.11-stdlib libpython3.11-testsuite perl-modules-5.36
python3-django python3-sympy python3-scipy python3-numpy python3-pandas python3-sklearn python3-matplotlib
python3-twisted python3-sqlalchemy python3-networkx python3-statsmodels python3-astropy python3-nova
python3-neutron python3-samba python3-pip mercurial-common libruby3.1 octave-common maxima-share
libboost1.81-dev libeigen3-dev postgresql-server-dev-15 node-typescript
"""


def shares(names):
    """The share of each package, in order, of names as above."""
    found = {}
    for word in names.split():
        name, _, share = word.partition(":")
        found[name] = float(share or 1)
    return found


PACKAGES = shares(DOCUMENTATION + CODE)
