"""SciPy's special functions, by its names, loaded with the first call.

Loading them takes a fifth of a second, which every command would wait for.
"""

from typing import Any


def ndtr(x: Any) -> Any:
    """Φ(x), the standard normal distribution."""
    from scipy import special

    return special.ndtr(x)


def ndtri(p: Any) -> Any:
    """The x of which Φ(x) = p."""
    from scipy import special

    return special.ndtri(p)


def stdtr(df: Any, t: Any) -> Any:
    """Student's t distribution with df degrees of freedom."""
    from scipy import special

    return special.stdtr(df, t)


def stdtrit(df: Any, p: Any) -> Any:
    """The t of which `stdtr(df, t)` = p."""
    from scipy import special

    return special.stdtrit(df, p)


def gammaln(x: Any) -> Any:
    """Log |Γ(x)|."""
    from scipy import special

    return special.gammaln(x)


def logsumexp(a: Any) -> Any:
    """Log Σ exp(a)."""
    from scipy import special

    return special.logsumexp(a)
