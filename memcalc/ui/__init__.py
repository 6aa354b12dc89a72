"""The dashboard's parts: controls, figures, words. The only package that knows Streamlit and Plotly.

Pages (``pages/views``) are thin: they read the controls, call the core, and hand the estimate to the
figures. Everything that turns an estimate into something to look at lives in a module that does not
import Streamlit (``colours``, ``ledger``, ``figures``, ``formulas``, ``words``), so that it can be
tested and reused without a browser.
"""
